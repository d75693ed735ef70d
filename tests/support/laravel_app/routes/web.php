<?php
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Route;
Route::get('/', fn () => view('home', ['posts' => DB::table('posts')->orderBy('id')->get()]));
Route::get('/add/{title}', fn ($title) => DB::table('posts')->insertGetId(['title' => $title, 'created_at' => now()]));
