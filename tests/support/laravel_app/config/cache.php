<?php return ['default' => 'database', 'prefix' => 'app', 'stores' => ['database' => ['driver' => 'database', 'table' => 'cache']]];
