<?php
// The chat example's back end in PHP:
//
//   php -S 127.0.0.1:5000 examples/chat/php/index.php
//
// It does what every back end beside Shaveet does: it decides who may join and
// who may speak, and tells Shaveet over JSON-RPC. What people read comes to
// their browsers from Shaveet, never from here. See ../README.md.
declare(strict_types=1);

require __DIR__ . '/people.php';
require __DIR__ . '/shaveet.php';

const CHANNEL = 'chat';
const MAX_BODY = 16 * 1024;
const MAX_NAME = 40;   // characters
const MAX_TEXT = 2000; // characters
const FILES = [
    '/' => ['index.html', 'text/html; charset=utf-8'],
    '/chat.css' => ['chat.css', 'text/css; charset=utf-8'],
    '/chat.js' => ['chat.js', 'text/javascript; charset=utf-8'],
];

/** An error that the browser is told about; its code is the HTTP status. */
final class Refusal extends RuntimeException
{
}

function public_url(): string
{
    return rtrim(getenv('SHAVEET_PUBLIC') ?: 'http://127.0.0.1:8082', '/');
}

/** Somebody who comes back with the right token, after Shaveet has restarted
 *  for example, stays who they were. */
function join_room(array $request): array
{
    $name = plain_text($request, 'name', MAX_NAME);
    $person = welcome($name, text($request, 'client_id'), text($request, 'token'));
    $key = shaveet('create_client', $person['client_id']);
    shaveet('subscribe', $person['client_id'], CHANNEL);
    return [
        'client_id' => $person['client_id'],
        'key' => $key,                // opens Shaveet, to listen
        'token' => $person['token'],  // opens this back end, to speak
        'name' => $name,
        'channel' => CHANNEL,
        'shaveet_url' => public_url(),
    ];
}

/** The name is filled in here and not by the browser, so nobody can speak as
 *  somebody else. */
function say(array $request): void
{
    $client_id = text($request, 'client_id');
    $name = verify($client_id, text($request, 'token'));
    $text = plain_text($request, 'text', MAX_TEXT);
    shaveet('new_message', $client_id, ['type' => 'message', 'name' => $name, 'text' => $text], CHANNEL, false);
}

/** Lets the others know at once; who just vanishes is noticed by Shaveet's
 *  sweeper a little later. */
function leave(array $request): void
{
    $client_id = text($request, 'client_id');
    verify($client_id, text($request, 'token'));
    shaveet('kill_client', $client_id);
}

/** Shaveet knows who is there, we know their names. */
function members(): array
{
    $list = [];
    foreach (shaveet('get_channel_clients', CHANNEL) as $client_id) {
        $name = name_of($client_id);
        if ($name !== null) {
            $list[] = ['client_id' => $client_id, 'name' => $name];
        }
    }
    return $list;
}

function text(array $request, string $field): string
{
    $value = $request[$field] ?? '';
    if (!is_string($value)) {
        throw new Refusal("$field must be a string", 400);
    }
    return $value;
}

/** 1 to $limit characters; control characters other than line breaks and tabs
 *  are refused. json_decode has made sure that it is UTF-8. */
function plain_text(array $request, string $field, int $limit): string
{
    $value = trim(text($request, $field), " \t\r\n");
    if (!preg_match('/^[^\x{0}-\x{8}\x{B}-\x{1F}\x{7F}-\x{9F}]{1,' . $limit . '}$/Du', $value)) {
        throw new Refusal("$field: 1 to $limit printable characters", 400);
    }
    return $value;
}

/** A page of another site may not have its visitors join or speak here.
 *  Browsers say where a page is from; other programs say nothing. */
function refuse_elsewhere(): void
{
    $site = $_SERVER['HTTP_SEC_FETCH_SITE'] ?? '';
    $origin = $_SERVER['HTTP_ORIGIN'] ?? '';
    $elsewhere = $site !== ''
        ? !in_array($site, ['same-origin', 'none'], true)
        : $origin !== '' && preg_replace('{^https?://}', '', $origin) !== ($_SERVER['HTTP_HOST'] ?? '');
    if ($elsewhere) {
        throw new Refusal('another site cannot do that', 403);
    }
}

function read_object(): array
{
    refuse_elsewhere();
    $body = file_get_contents('php://input', false, null, 0, MAX_BODY + 1);
    if (strlen($body) > MAX_BODY) {
        throw new Refusal('too long', 413);
    }
    $request = json_decode($body, true, 16);
    if (!is_array($request)) {
        throw new Refusal('a JSON object is expected', 400);
    }
    return $request;
}

/** Scripts and connections: this server and Shaveet, nothing else. */
function content_security_policy(): string
{
    $url = parse_url(public_url());
    $source = "'self'";
    if (isset($url['scheme'], $url['host'])) {
        $source .= " {$url['scheme']}://{$url['host']}" . (isset($url['port']) ? ":{$url['port']}" : '');
    }
    return "default-src 'self'; img-src 'self' data:; script-src $source; connect-src $source; "
        . "base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
}

function send(int $status, string $media_type, string $body): void
{
    http_response_code($status);
    header("Content-Type: $media_type");
    header('Cache-Control: no-store');
    header('Content-Security-Policy: ' . content_security_policy());
    header('X-Content-Type-Options: nosniff');
    echo $body;
}

function send_json(int $status, mixed $value): void
{
    $body = $value === null ? '' : json_encode($value, JSON_UNESCAPED_SLASHES);
    send($status, 'application/json', $body);
}

function route(string $method, string $path): void
{
    if ($method === 'GET' && isset(FILES[$path])) {
        [$name, $media_type] = FILES[$path];
        $body = file_get_contents(__DIR__ . '/../page/' . $name);
        send(200, $media_type, str_replace('__SHAVEET__', htmlspecialchars(public_url()), $body));
        return;
    }
    $result = match ("$method $path") {
        'POST /join' => join_room(read_object()),
        'POST /say' => say(read_object()),
        'POST /leave' => leave(read_object()),
        'GET /members' => members(),
        default => throw new Refusal('no such page', 404),
    };
    send_json($result === null ? 204 : 200, $result);
}

try {
    route($_SERVER['REQUEST_METHOD'], parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) ?: '');
} catch (Refusal $refusal) {
    send_json($refusal->getCode(), ['error' => $refusal->getMessage()]);
} catch (ShaveetError $error) {
    error_log('shaveet: ' . $error->getMessage());
    send_json(502, ['error' => 'the push server does not answer']);
}
