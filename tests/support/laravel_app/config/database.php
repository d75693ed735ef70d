<?php
$connection = fn ($driver, $charset) => [
    'driver' => $driver, 'host' => env('DB_HOST'), 'port' => env('DB_PORT'), 'database' => env('DB_DATABASE'),
    'username' => env('DB_USERNAME'), 'password' => env('DB_PASSWORD'), 'unix_socket' => env('DB_SOCKET', ''), 'charset' => $charset, 'prefix' => '',
];
return [
    'default' => env('DB_CONNECTION'), 'migrations' => 'migrations',
    'connections' => ['mysql' => $connection('mysql', 'utf8mb4'), 'pgsql' => $connection('pgsql', 'utf8')],
];
