package brokertest_test

import (
	"testing"

	"github.com/shaveet/shaveet/server/broker/brokertest"
	"github.com/shaveet/shaveet/server/hub"
)

func TestSharedLog(t *testing.T) {
	brokertest.Run(t, func(*testing.T) hub.Broker { return brokertest.NewLog(1).Node(false) })
}
