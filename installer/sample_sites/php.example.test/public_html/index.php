<?php
declare(strict_types=1);

require __DIR__ . '/../lib/Guestbook.php';

$guestbook = new Guestbook(__DIR__ . '/../storage/entries.json');
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $guestbook->add((string) ($_POST['name'] ?? ''), (string) ($_POST['text'] ?? ''));
    header('Location: ./', true, 303);
    exit;
}
$entries = $guestbook->newestFirst();
require __DIR__ . '/../templates/page.php';
