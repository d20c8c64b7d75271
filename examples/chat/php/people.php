<?php
// Who has joined. PHP forgets everything between two requests, so each person
// is one small file, named after the public client_id, that holds the secret
// token proving to this back end who is speaking. A real application would
// use its own login and database here.
declare(strict_types=1);

const MAX_PEOPLE = 1000;      // bounds the files that strangers can make by joining
const FORGET_AFTER = 6 * 3600; // seconds; then they have to join again

function people_dir(): string
{
    $uid = function_exists('posix_geteuid') ? posix_geteuid() : get_current_user();
    $dir = getenv('CHAT_STATE') ?: sys_get_temp_dir() . "/shaveet-chat-$uid";
    if (!is_dir($dir)) {
        mkdir($dir, 0700, true);
    }
    return $dir;
}

/** The file of a client_id; null if it is none of ours. The pattern also keeps
 *  a path out of the file name. */
function person_file(string $client_id): ?string
{
    return preg_match('/^chat-[0-9a-f]{16}$/D', $client_id) ? people_dir() . "/$client_id" : null;
}

function load_person(string $client_id): ?array
{
    $file = person_file($client_id);
    if ($file === null || !is_file($file)) {
        return null;
    }
    return json_decode((string) file_get_contents($file), true);
}

/** Makes a new person, or renews one who can prove to be the old one. */
function welcome(string $name, string $client_id, string $token): array
{
    $person = load_person($client_id);
    if ($person === null || !hash_equals($person['token'], $token)) {
        make_room();
        $client_id = 'chat-' . bin2hex(random_bytes(8));
        $token = bin2hex(random_bytes(16));
    }
    $person = ['client_id' => $client_id, 'token' => $token, 'name' => $name];
    $file = person_file($client_id);
    file_put_contents("$file.new", json_encode($person), LOCK_EX);
    rename("$file.new", $file); // whoever reads meanwhile sees the old or the new, never a half
    return $person;
}

/** Returns the name of the speaker. */
function verify(string $client_id, string $token): string
{
    $person = load_person($client_id);
    if ($person === null || !hash_equals($person['token'], $token)) {
        throw new Refusal('wrong client_id or token', 403);
    }
    return $person['name'];
}

function name_of(string $client_id): ?string
{
    return load_person($client_id)['name'] ?? null;
}

/** Forgets who joined long ago. */
function make_room(): void
{
    $files = glob(people_dir() . '/chat-*');
    foreach ($files as $file) {
        if (filemtime($file) < time() - FORGET_AFTER) {
            unlink($file);
        }
    }
    if (count($files) >= MAX_PEOPLE) {
        throw new Refusal('the room is full', 503);
    }
}
