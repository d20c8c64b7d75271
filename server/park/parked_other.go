//go:build !linux

package park

import (
	"errors"
	"net"
	"net/http"
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

func newPoller() (*poller, error) { return nil, errors.ErrUnsupported }

func (c *Conn) adopt(net.Conn) bool { return false }
func (c *Conn) park([]byte)         {}
func (c *Conn) turn(*desk)          {}

func (c *Conn) takeQuick(*quickWriter, http.ResponseWriter, kind) ([]byte, bool) { return nil, false }

func (l *Lot) arrivals(_ *http.Server, ln net.Listener, _ *returns) net.Listener { return ln }

func (c *Conn) owes() bool  { return false }
func (p *poller) held() int { return 0 }
