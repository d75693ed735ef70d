<?php
namespace App;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Route;
class Routes extends \Illuminate\Foundation\Support\Providers\RouteServiceProvider
{
    public function boot()
    {
        $this->loadMigrationsFrom(base_path('database/migrations'));
        $this->routes(fn () => Route::middleware(\Illuminate\Session\Middleware\StartSession::class)->group(base_path('routes/web.php')));
    }
}
