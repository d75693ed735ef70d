<?php
declare(strict_types=1);

$database = new PDO('sqlite:' . __DIR__ . '/data/notes.sqlite');
$database->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
if ($_SERVER['REQUEST_METHOD'] === 'POST' && trim((string) ($_POST['text'] ?? '')) !== '') {
    $database->prepare('INSERT INTO notes (text, done, created_at) VALUES (?, 0, ?)')->execute([$_POST['text'], date('c')]);
    header('Location: ./', true, 303);
    exit;
}
$notes = $database->query('SELECT text, done, created_at FROM notes ORDER BY id DESC LIMIT 200')->fetchAll(PDO::FETCH_ASSOC);
?>
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Notes</title>
<link rel="stylesheet" href="assets/notes.css">
</head>
<body>
<h1>Notes</h1>
<form method="post"><input name="text" placeholder="What is to be done?" autofocus><button>Add</button></form>
<ul>
<?php foreach ($notes as $note): ?>
<li<?= $note['done'] ? ' class="done"' : '' ?>><?= htmlspecialchars($note['text']) ?></li>
<?php endforeach ?>
</ul>
</body>
</html>
