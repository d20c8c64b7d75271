package main

// What to change, by the program that it is changed in.
var (
	adviceReach = []string{
		"Is Shaveet running (systemctl status shaveet), and does the proxy point at its public door?",
		"nginx: proxy_pass http://127.0.0.1:8083;   Caddy: reverse_proxy 127.0.0.1:8083",
		"HAProxy: server shaveet 127.0.0.1:8083   Apache: ProxyPass /longpoll http://127.0.0.1:8083/longpoll",
	}
	advicePath = []string{
		"The paths /longpoll, /message_updates and /static/shaveet. must go to Shaveet's public door.",
		"nginx: location = /longpoll { proxy_pass http://127.0.0.1:8083; }   Caddy: reverse_proxy /longpoll 127.0.0.1:8083",
		"HAProxy: use_backend shaveet if { path /longpoll }   Apache: ProxyPass /longpoll http://127.0.0.1:8083/longpoll",
	}
	adviceScript = []string{
		"nginx: location /static/shaveet. { proxy_pass http://127.0.0.1:8083; }   Caddy: reverse_proxy /static/shaveet.* 127.0.0.1:8083",
		"HAProxy: use_backend shaveet if { path_beg /static/shaveet. }   Apache: ProxyPass /static/shaveet.js http://127.0.0.1:8083/static/shaveet.js",
	}
	adviceTLS = []string{
		"Let the proxy have a certificate of this name that is renewed by itself: certbot for nginx, HAProxy and Apache; Caddy does so unasked.",
		"The chain must be whole: nginx: ssl_certificate fullchain.pem;   HAProxy: bind :443 ssl crt site.pem   Apache: SSLCertificateFile fullchain.pem",
	}
	adviceHTTP2 = []string{
		"nginx: http2 on; (before 1.25.1: listen 443 ssl http2;)   Caddy: has it unless switched off",
		"HAProxy: bind :443 ssl crt site.pem alpn h2,http/1.1   Apache: Protocols h2 http/1.1",
	}
	adviceClock  = []string{"On the machine that is wrong: timedatectl set-ntp true"}
	adviceErrors = []string{
		"nginx: proxy_intercept_errors off;   Caddy: no handle_response for /longpoll",
		"HAProxy: no http-response return for it   Apache: ProxyErrorOverride Off",
	}
	adviceHeaders = []string{
		"nginx: no proxy_set_header Authorization, and no limit_except without POST   Caddy: no header_up -Authorization",
		"HAProxy: no http-request del-header authorization   Apache: no RequestHeader unset Authorization",
	}
	adviceOther = []string{
		"Either the two addresses lead to different servers, or the proxy takes the credentials off.",
	}
	adviceCache = []string{
		"nginx: proxy_cache off; and no proxy_ignore_headers, add_header or expires for /longpoll   Caddy: no cache for it",
		"HAProxy: no http-request cache-use   Apache: CacheDisable /longpoll   A CDN: pass /longpoll by",
	}
	adviceCompression = []string{
		"nginx: gzip off; in the location of /longpoll   Caddy: encode with a matcher: @other not path /longpoll",
		"HAProxy: no compression algo in its backend   Apache: SetEnvIf Request_URI ^/longpoll no-gzip",
	}
	adviceBuffering = []string{
		"nginx: proxy_buffering off;   Caddy: flush_interval -1",
		"HAProxy: no filter that holds answers back   Apache: ProxyPass … flushpackets=on",
	}
	adviceIdle = []string{
		"It must be held longer than Shaveet's poll_timeout (25 s by default).",
		"nginx: proxy_read_timeout 60s;   Caddy: no response_header_timeout or read_timeout below 60s",
		"HAProxy: timeout server 60s   Apache: ProxyTimeout 60   Where it cannot be changed: shaveet serve --poll-timeout",
	}
	adviceStream = []string{
		"Nobody between may gather a stream, nor compress it. Shaveet asks for that by X-Accel-Buffering: no, which nginx heeds unless told not to.",
		"nginx: proxy_buffering off; and no proxy_ignore_headers X-Accel-Buffering;   Caddy: flush_interval -1",
		"HAProxy: option http-no-delay; no compression, and no filter that holds answers back   Apache: ProxyPass … flushpackets=on",
	}
	adviceStreamPath = []string{
		"The paths /websocket, /sse and /stream should go to Shaveet's public door.",
		"nginx: location ~ ^/(sse|stream)$ { proxy_pass http://127.0.0.1:8083; }   Caddy: reverse_proxy /sse 127.0.0.1:8083",
		"HAProxy: use_backend shaveet if { path /sse /stream /websocket }   Apache: ProxyPass /sse http://127.0.0.1:8083/sse",
	}
	adviceStreamIdle = []string{
		"A stream must be let be for longer than Shaveet's heartbeat_time (20 s by default).",
		"nginx: proxy_read_timeout 60s;   Caddy: no read_timeout or write_timeout below 60s",
		"HAProxy: timeout server 60s, timeout client 60s, timeout tunnel 1h   Apache: ProxyTimeout 60   Where it cannot be changed: shaveet serve --heartbeat-time",
	}
	adviceSocket = []string{
		"An upgrade must be passed on by HTTP/1.1, with the headers Upgrade and Connection, and what follows it unchanged.",
		`nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";   Caddy: does so unasked`,
		"HAProxy: does so unasked   Apache: ProxyPass /websocket http://127.0.0.1:8083/websocket upgrade=websocket",
	}
	adviceSocketIO = []string{
		"All that begins with /socket.io/ must go to Shaveet's public door, upgrades by HTTP/1.1 with the headers Upgrade and Connection.",
		`nginx: location /socket.io/ { proxy_pass http://127.0.0.1:8083; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; }`,
		"Caddy: reverse_proxy /socket.io/* 127.0.0.1:8083   HAProxy: use_backend shaveet if { path_beg /socket.io/ }",
		"Apache: ProxyPass /socket.io/ http://127.0.0.1:8083/socket.io/ upgrade=websocket",
	}
	adviceOrigin = []string{
		"Shaveet decides by allowed_origins; pages of the host that is asked need no entry. The proxy must pass Origin and Host on as they come.",
		"nginx: proxy_set_header Host $http_host; and not Origin   Caddy: no header_up for Host or Origin",
		"HAProxy: no http-request set-header or del-header of them   Apache: ProxyPreserveHost On",
	}
	adviceKeepAlive = []string{
		"nginx: keepalive_timeout 75s;   Caddy: no keepalive off",
		"HAProxy: no option httpclose   Apache: KeepAlive On",
	}
	adviceCORS = []string{
		"Shaveet answers for CORS itself, by allowed_origins; a proxy must neither add nor remove those headers, nor answer OPTIONS.",
		"nginx: no add_header or proxy_hide_header Access-Control-…   Caddy: no header Access-Control-…",
		"HAProxy: no http-response set-header, add-header or del-header of them   Apache: no Header set, add or unset of them",
	}
	adviceAdmin = []string{
		"The proxy points at the main or the admin door. Give Shaveet a public one, and point the proxy at that:",
		"systemd: ExecStart=/usr/local/bin/shaveet serve --public-listen 127.0.0.1:8083   nginx: proxy_pass http://127.0.0.1:8083;",
	}
	adviceAdminURL = []string{
		"--admin-url must be where the backend calls Shaveet, and SHAVEET_ADMIN_TOKEN or --admin-token-file have its token, if it has one.",
	}
	adviceDescriptors = []string{
		"systemd: LimitNOFILE=1048576   Docker: --ulimit nofile=1048576   a shell: ulimit -n 1048576",
		"nginx needs two for each poll: worker_rlimit_nofile and worker_connections",
	}
)
