<?php
return [
    'name' => env('APP_NAME'), 'env' => 'production', 'debug' => false, 'key' => env('APP_KEY'), 'cipher' => 'AES-256-CBC',
    'timezone' => 'UTC', 'locale' => 'en', 'fallback_locale' => 'en', 'url' => 'http://localhost',
    'providers' => [
        Illuminate\Auth\AuthServiceProvider::class,
        Illuminate\Translation\TranslationServiceProvider::class,
        Illuminate\Hashing\HashServiceProvider::class,
        Illuminate\Cookie\CookieServiceProvider::class,
        Illuminate\Cache\CacheServiceProvider::class,
        Illuminate\Foundation\Providers\ConsoleSupportServiceProvider::class,
        Illuminate\Foundation\Providers\FoundationServiceProvider::class,
        Illuminate\Database\DatabaseServiceProvider::class,
        Illuminate\Filesystem\FilesystemServiceProvider::class,
        Illuminate\Encryption\EncryptionServiceProvider::class,
        Illuminate\Queue\QueueServiceProvider::class,
        Illuminate\Session\SessionServiceProvider::class,
        Illuminate\View\ViewServiceProvider::class,
        App\Routes::class,
    ],
    'aliases' => [],
];
