<?php
spl_autoload_register(fn ($name) => $name === 'App\Routes' && require __DIR__ . '/../app/Routes.php');
$app = require __DIR__ . '/../bootstrap/app.php';
$kernel = $app->make(Illuminate\Contracts\Http\Kernel::class);
$response = $kernel->handle($request = Illuminate\Http\Request::capture());
$response->send();
$kernel->terminate($request, $response);
