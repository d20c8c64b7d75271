module github.com/shaveet/shaveet

go 1.26

require (
	github.com/BurntSushi/toml v1.6.0
	github.com/google/uuid v1.6.0
	github.com/gorilla/rpc v1.2.1
	go.uber.org/goleak v1.3.0
	pgregory.net/rapid v1.3.0
)
