<?php
// Speaks to Shaveet as the PHP back ends of 2010 did: JSON-RPC 1.0 through
// curl, with curl's own form Content-Type and a Referer, the id always 1.
//
//   php client.php URL < calls.json > answers.json
//
// calls.json is [{"method": …, "params": […]}, …]. Each answer says what came
// over the wire, and what such a client would have thought of it ("complaint"
// is null when it would have been content).
declare(strict_types=1);

const REQUEST_ID = 1;

function post(string $url, string $body): array
{
    $curl = curl_init($url);
    curl_setopt_array($curl, [
        CURLOPT_POST => true,
        CURLOPT_POSTFIELDS => $body, // a string: curl calls it application/x-www-form-urlencoded
        CURLOPT_REFERER => 'http://localhost/index.php',
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 10,
    ]);
    $text = curl_exec($curl);
    $answer = [
        'status' => curl_getinfo($curl, CURLINFO_RESPONSE_CODE),
        'content_type' => (string) curl_getinfo($curl, CURLINFO_CONTENT_TYPE),
        'body' => $text === false ? '' : $text,
        'transport_error' => curl_error($curl),
    ];
    curl_close($curl);
    return $answer;
}

// The client's own rules, in its order: it decodes without a look at the
// status, wants its id back, and takes any error that is not null as failure.
function complaint(array $answer): ?string
{
    if ($answer['transport_error'] !== '') {
        return 'unable to connect';
    }
    $response = json_decode($answer['body'], true);
    if (!is_array($response)) {
        return 'no object in the answer';
    }
    if (!array_key_exists('id', $response) || $response['id'] !== REQUEST_ID) {
        return 'incorrect response id';
    }
    if (isset($response['error'])) {
        return 'request error';
    }
    return array_key_exists('result', $response) ? null : 'no result';
}

$answers = [];
foreach (json_decode(stream_get_contents(STDIN)) as $call) {
    // json_encode writes / as \/ and everything outside ASCII as \uXXXX.
    $request = json_encode(['method' => $call->method, 'params' => $call->params, 'id' => REQUEST_ID]);
    $answer = post($argv[1], $request);
    $answers[] = ['sent' => $request, 'complaint' => complaint($answer)] + $answer;
}
echo json_encode($answers, JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES), "\n";
