package memory_test

import (
	"testing"

	"github.com/shaveet/shaveet/server/broker/brokertest"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

func TestPromises(t *testing.T) {
	brokertest.Run(t, func(*testing.T) hub.Broker { return memory.New() })
}
