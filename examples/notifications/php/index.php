<?php
// The notifications example's back end in PHP:
//
//   php -S 127.0.0.1:5000 examples/notifications/php/index.php
//
// It keeps the users and the notifications (store.php), tells Shaveet over
// JSON-RPC what is new (shaveet.php), and answers its page (here). See
// ../README.md.
declare(strict_types=1);

require __DIR__ . '/shaveet.php';
require __DIR__ . '/store.php';

const COOKIE = 'notifications_session';
const EVERYONE = 'everyone'; // the channel that all are on
const MAX_BODY = 16 * 1024;
const FILES = [
    '/' => ['index.html', 'text/html; charset=utf-8'],
    '/notifications.css' => ['notifications.css', 'text/css; charset=utf-8'],
    '/notifications.js' => ['notifications.js', 'text/javascript; charset=utf-8'],
];

/** An error that the browser is told about; its code is the HTTP status. */
final class Refusal extends RuntimeException
{
}

function public_url(): string
{
    return rtrim(getenv('SHAVEET_PUBLIC') ?: 'http://127.0.0.1:8082', '/');
}

/** Takes anybody at their word. A real site asks for more than a name, and
 *  marks its cookie Secure. */
function login(array $request): array
{
    $name = plain_text($request, 'name', 40);
    $session = store_login($name);
    setcookie(COOKIE, $session, ['path' => '/', 'httponly' => true, 'samesite' => 'Strict']);
    return ['name' => $name];
}

/** Also changes the key of whoever leaves: what this browser knew of Shaveet is
 *  void. The user's other browsers are refused as well, ask for credentials as
 *  they do then, and go on with the new key. */
function logout(): void
{
    $user = store_logout(session());
    try {
        if ($user !== null) {
            shaveet('rotate_key', ['client_id' => $user['channel']]);
        }
    } catch (ShaveetError $error) {
        error_log("the key of $user[channel] stays: " . $error->getMessage());
    }
    setcookie(COOKIE, '', ['path' => '/', 'expires' => 1]);
}

/** What a page connects with. It asks when it opens, and again whenever Shaveet
 *  refuses what it has; so everything is set up anew each time, which changes
 *  nothing where it is set up already. */
function credentials(array $user): array
{
    $client_id = $user['channel'];
    $key = shaveet('create_client', ['client_id' => $client_id, 'position' => true])['key'];
    $channels = [$user['channel'], EVERYONE];
    foreach ($channels as $channel) {
        $params = ['client_id' => $client_id, 'channel_name' => $channel, 'position' => true];
        $cursor = shaveet('subscribe', $params)['position'];
    }
    publish();
    return ['url' => public_url(), 'clientId' => $client_id, 'key' => $key, 'cursor' => $cursor, 'channels' => $channels];
}

function notify(array $user, array $request): array
{
    $text = plain_text($request, 'text', 500);
    $everyone = ($request['everyone'] ?? false) === true;
    $number = store_add($user, $everyone ? null : plain_text($request, 'to', 40), $text);
    return ['number' => $number, 'live' => publish()];
}

/** Tells Shaveet what it has not been told yet, and reports whether it could.
 *  What it could not is told the next time. Who does not know whether an attempt
 *  came through (the answer was lost, or another request does the same at this
 *  moment) just tries again: with the same publish id it is said once. */
function publish(): bool
{
    foreach (store_unsaid() as $entry) {
        try {
            shaveet('publish', ['channel' => $entry['channel'], 'data' => $entry['news'], 'publish_id' => $entry['publish_id']]);
        } catch (ShaveetError $error) {
            error_log("notification {$entry['news']['number']} waits: " . $error->getMessage());
            return false;
        }
        store_said($entry['news']['number']);
    }
    return true;
}

/** Also tells the user's other tabs. If that fails they find out with their next
 *  list, so it is not tried again. */
function read(array $user, array $request): array
{
    if (!is_int($request['number'] ?? null)) {
        throw new Refusal('number must be a number', 400);
    }
    $news = ['type' => 'read', 'number' => store_read($user, $request['number'])];
    try {
        shaveet('publish', ['channel' => $user['channel'], 'data' => $news]);
    } catch (ShaveetError $error) {
        error_log("other tabs of $user[channel] are not told: " . $error->getMessage());
    }
    return $news;
}

/** 1 to $limit characters, none of them a control character. json_decode has
 *  made sure that it is UTF-8. */
function plain_text(array $request, string $field, int $limit): string
{
    $value = $request[$field] ?? null;
    if (is_string($value)) {
        $value = preg_replace('/^\s+|\s+$/u', '', $value);
        if (preg_match('/^\P{Cc}{1,' . $limit . '}$/Du', $value)) {
            return $value;
        }
    }
    throw new Refusal("$field: 1 to $limit printable characters", 400);
}

function session(): string
{
    return is_string($_COOKIE[COOKIE] ?? null) ? $_COOKIE[COOKIE] : '';
}

function user(): array
{
    return store_user(session()) ?? throw new Refusal('log in first', 401);
}

function read_object(): array
{
    // Other sites cannot act for our users: SameSite keeps the cookie from them.
    // But a site, there, is a host without its port; so this refuses every POST
    // that a browser sends from another origin.
    $origin = $_SERVER['HTTP_ORIGIN'] ?? null;
    if ($origin !== null && preg_replace('{^https?://}', '', $origin) !== $_SERVER['HTTP_HOST']) {
        throw new Refusal('another site cannot do that', 403);
    }
    $body = file_get_contents('php://input', false, null, 0, MAX_BODY + 1);
    $request = strlen($body) > MAX_BODY ? null : json_decode($body, false, 16);
    if (!$request instanceof stdClass) {
        throw new Refusal('a short JSON object is expected', 400);
    }
    return (array) $request;
}

function send(int $status, string $media_type, string $body): void
{
    // Scripts and connections: this server and Shaveet, nothing else.
    $source = "'self' " . preg_replace('{^(https?://[^/;\s]+).*}', '$1', public_url());
    // WebSockets are named apart.
    $sockets = preg_replace('{^http(s?://[^/;\s]+).*}', 'ws$1', public_url());
    http_response_code($status);
    header("Content-Type: $media_type");
    header('Cache-Control: no-store');
    header("Content-Security-Policy: default-src 'self'; img-src 'self' data:; script-src $source; connect-src $source $sockets; "
        . "base-uri 'none'; form-action 'none'; frame-ancestors 'self'");
    echo $body;
}

function route(string $method, string $path): void
{
    if ($method === 'GET' && isset(FILES[$path])) {
        [$name, $media_type] = FILES[$path];
        $body = file_get_contents(__DIR__ . '/../page/' . $name);
        send(200, $media_type, str_replace('__SHAVEET__', htmlspecialchars(public_url()), $body));
        return;
    }
    $request = $method === 'POST' ? read_object() : [];
    $result = match ("$method $path") {
        'POST /login' => login($request),
        'POST /logout' => logout(),
        'POST /credentials' => credentials(user()),
        'GET /notifications' => store_list(user()),
        'POST /notify' => notify(user(), $request),
        'POST /read' => read(user(), $request),
        default => throw new Refusal('no such page', 404),
    };
    send_json($result === null ? 204 : 200, $result);
}

function send_json(int $status, mixed $value): void
{
    send($status, 'application/json', $value === null ? '' : json_encode($value, JSON_UNESCAPED_SLASHES));
}

try {
    route($_SERVER['REQUEST_METHOD'], parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) ?: '');
} catch (Refusal $refusal) {
    send_json($refusal->getCode(), ['error' => $refusal->getMessage()]);
} catch (ShaveetError $error) {
    error_log('shaveet: ' . $error->getMessage());
    send_json(502, ['error' => 'the push server does not answer']);
}
