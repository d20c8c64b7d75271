<?php
// The truth about notifications. PHP forgets everything between two requests,
// so it is a file, which one request at a time may change; in a real site a
// database. No lock is held while Shaveet is asked for anything.
declare(strict_types=1);

// What strangers can make us keep is bounded.
const MAX_USERS = 1000;
const MAX_SESSIONS = 10000;
const MAX_KEPT = 1000; // notifications; the oldest go
const SHOWN = 100;     // of them, in a list

/** Runs $task with the store, which it may change, and returns what it returns. */
function with_store(callable $task): mixed
{
    $uid = function_exists('posix_geteuid') ? posix_geteuid() : get_current_user();
    $dir = getenv('NOTIFICATIONS_STATE') ?: sys_get_temp_dir() . "/shaveet-notifications-$uid";
    if (!is_dir($dir)) {
        mkdir($dir, 0700, true);
    }
    $file = fopen("$dir/store.json", 'c+');
    flock($file, LOCK_EX); // until the file is closed
    $before = stream_get_contents($file);
    $store = json_decode($before, true) ?? [
        'life' => random_id(), // of this store; its numbers begin at 1, so publish ids need more than them
        'last' => 0,
        'users' => [],    // by name: channel, read
        'sessions' => [], // session => name
        'kept' => [],     // the oldest first
        'waiting' => [],  // by number; Shaveet has not been told yet
    ];
    try {
        return $task($store);
    } finally {
        $after = json_encode($store);
        if ($after !== $before) {
            ftruncate($file, 0);
            rewind($file);
            fwrite($file, $after);
        }
        fclose($file);
    }
}

function random_id(): string
{
    return bin2hex(random_bytes(16));
}

/** Returns a new session of the user, who need not exist. */
function store_login(string $name): string
{
    return with_store(function (array &$store) use ($name): string {
        // PHP makes numbers of keys that look like some; the underscore keeps names what they are.
        $known = isset($store['users']["_$name"]);
        if (count($store['sessions']) >= MAX_SESSIONS || (!$known && count($store['users']) >= MAX_USERS)) {
            throw new Refusal('there is no more room', 503);
        }
        // An id is drawn and not counted, so that nobody ever gets a channel that
        // was somebody else's. Names may hold anything, so they are never a part
        // of the names of channels and clients.
        $store['users']["_$name"] ??= ['name' => $name, 'channel' => 'user:' . random_id(), 'read' => 0];
        $session = random_id();
        $store['sessions']["_$session"] = "_$name";
        return $session;
    });
}

/** Returns whose session it was. */
function store_logout(string $session): ?array
{
    $user = store_user($session);
    with_store(function (array &$store) use ($session): void {
        unset($store['sessions']["_$session"]);
    });
    return $user;
}

function store_user(string $session): ?array
{
    return with_store(fn (array &$store) => $store['users'][$store['sessions']["_$session"] ?? ''] ?? null);
}

/** Returns the notification's number. Without $to it is for everybody. */
function store_add(array $from, ?string $to, string $text): int
{
    return with_store(function (array &$store) use ($from, $to, $text): int {
        $channel = $to === null ? EVERYONE : $store['users']["_$to"]['channel'] ?? null;
        if ($channel === null) {
            throw new Refusal('nobody of this name has ever logged in', 404);
        }
        $number = ++$store['last'];
        $news = ['number' => $number, 'from' => $from['name'], 'text' => $text,
            'time' => (int) (microtime(true) * 1000), 'everyone' => $to === null];
        $entry = ['channel' => $channel, 'news' => $news, 'publish_id' => "{$store['life']}-$number"];
        $store['waiting']["_$number"] = $entry;
        $store['kept'] = array_slice([...$store['kept'], $entry], -MAX_KEPT);
        unset($store['waiting']['_' . ($number - MAX_KEPT)]);
        return $number;
    });
}

function store_unsaid(): array
{
    return with_store(fn (array &$store) => $store['waiting']);
}

function store_said(int $number): void
{
    with_store(function (array &$store) use ($number): void {
        unset($store['waiting']["_$number"]);
    });
}

/** What a page shows when it opens, and goes back to when it may have missed
 *  something. */
function store_list(array $user): array
{
    return with_store(function (array &$store) use ($user): array {
        $mine = array_filter($store['kept'], fn ($entry) => in_array($entry['channel'], [$user['channel'], EVERYONE], true));
        $mine = array_column($mine, 'news');
        $people = array_column($store['users'], 'name');
        sort($people, SORT_STRING);
        return [
            'name' => $user['name'],
            'notifications' => array_slice($mine, -SHOWN),
            'unread' => count(array_filter($mine, fn ($news) => $news['number'] > $user['read'])),
            'read' => $user['read'],
            'people' => $people,
        ];
    });
}

/** Notes that a user has read all up to a number, and returns up to where. */
function store_read(array $user, int $number): int
{
    return with_store(function (array &$store) use ($user, $number): int {
        $read = &$store['users']["_$user[name]"]['read'];
        return $read = max($read, min($number, $store['last']));
    });
}
