<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The Lighthouse · Guestbook</title>
<link rel="stylesheet" href="assets/style.css">
</head>
<body>
<main>
<h1>Guestbook of the Lighthouse</h1>
<form method="post">
<label>Your name <input name="name" maxlength="80" required></label>
<label>Your words <textarea name="text" rows="3" maxlength="2000" required></textarea></label>
<button>Sign</button>
</form>
<?php foreach ($entries as $entry): ?>
<article>
<strong><?= htmlspecialchars($entry['name']) ?></strong> <time><?= htmlspecialchars($entry['at']) ?></time>
<p><?= nl2br(htmlspecialchars($entry['text'])) ?></p>
</article>
<?php endforeach ?>
</main>
</body>
</html>
