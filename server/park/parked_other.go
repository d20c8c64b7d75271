//go:build !linux

package park

import (
	"errors"
	"net"
	"net/http"

	"github.com/shaveet/shaveet/server/park/internal/kernel"
)

// Elsewhere no connection is parked.
type (
	parked struct {
		peer peerAddr
		on   bool
	}
	poller struct{}
)

type peerAddr struct{}

func (peerAddr) addr() net.Addr  { return nil }
func (*peerAddr) String() string { return "" }

func newPoller(kernel.Kernel) (*poller, error) { return nil, errors.ErrUnsupported }

func ownKernel() kernel.Kernel { return nil }

func (c *Conn) adopt(net.Conn) bool { return false }
func (c *Conn) park([]byte)         {}
func (c *Conn) turn(*desk)          {}
func (c *Conn) closeParked()        {}

func (c *Conn) takeQuick(*quickWriter, http.ResponseWriter, kind) ([]byte, bool) { return nil, false }

func (l *Lot) arrivals(_ *http.Server, ln net.Listener, _ *returns) net.Listener { return ln }

func (c *Conn) owes() bool  { return false }
func (p *poller) held() int { return 0 }
