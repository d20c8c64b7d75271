<?php
declare(strict_types=1);

/** Shaveet did not answer, or answered with an error. */
final class ShaveetError extends RuntimeException
{
}

/** Calls one method of Shaveet's admin API and returns its result. */
function shaveet(string $method, array $params): mixed
{
    $headers = ['Content-Type: application/json'];
    if (getenv('SHAVEET_TOKEN')) {
        $headers[] = 'Authorization: Bearer ' . getenv('SHAVEET_TOKEN');
    }
    $curl = curl_init(getenv('SHAVEET_RPC') ?: 'http://127.0.0.1:8082/');
    curl_setopt_array($curl, [
        CURLOPT_POSTFIELDS => json_encode(['jsonrpc' => '2.0', 'id' => 1, 'method' => $method, 'params' => $params]),
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 10,
    ]);
    $body = curl_exec($curl);
    if ($body === false) {
        throw new ShaveetError("$method: " . curl_error($curl));
    }
    $answer = json_decode($body, true);
    if (!is_array($answer) || isset($answer['error'])) {
        throw new ShaveetError("$method: " . ($answer['error']['message'] ?? 'not an answer'));
    }
    return $answer['result'] ?? null;
}
