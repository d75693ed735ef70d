<?php
declare(strict_types=1);

/** The entries of the guestbook, kept in one JSON file. */
final class Guestbook
{
    public function __construct(private string $file)
    {
    }

    /** @return list<array{name: string, text: string, at: string}> */
    public function newestFirst(): array
    {
        $entries = json_decode((string) file_get_contents($this->file), true);

        return array_reverse(is_array($entries) ? $entries : []);
    }

    public function add(string $name, string $text): void
    {
        if (trim($name) === '' || trim($text) === '') {
            return;
        }
        $entries = array_reverse($this->newestFirst());
        $entries[] = ['name' => mb_substr($name, 0, 80), 'text' => mb_substr($text, 0, 2000), 'at' => date('Y-m-d')];
        file_put_contents($this->file, json_encode($entries, JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE), LOCK_EX);
    }
}
