package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// runEach is run with a goroutine for each reader: over TLS, and where there is
// no epoll. It costs more than a loop, so the server has less of the machine.
func (c *crowd) runEach(ctx context.Context) error {
	c.init()
	var reads sync.Mutex // held while bytes are worked off, which a crowd does one after the other
	places := make(chan struct{}, c.atOnce)
	var over sync.WaitGroup
	defer over.Wait()
	pace := pace{rate: c.rate, began: time.Now()}
	for i := 0; i < len(c.readers) || c.churn; i++ {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		for pace.n++; !pace.may(); {
			if !sleep(ctx, time.Millisecond) {
				return nil
			}
		}
		reader := c.readers[i%len(c.readers)]
		place := sync.OnceFunc(func() { <-places })
		over.Go(func() {
			defer place()
			if err := c.readOne(ctx, reader, &reads, place); err != nil && ctx.Err() == nil {
				c.failed(err)
			}
		})
	}
	<-ctx.Done()
	return nil
}

// readOne reads for one reader, until ctx ends or the connection. In a churn it
// ends when the reader is ready.
func (c *crowd) readOne(ctx context.Context, reader int, reads *sync.Mutex, ready func()) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	d := c.dialect(reader)
	if _, err := conn.Write(d.begin(nil)); err != nil {
		return err
	}
	_, stands := d.(mute)
	counted := false
	buffer := make([]byte, 16<<10)
	var kept, reply []byte
	for {
		if stands && !counted {
			counted = true
			c.ready.Add(1)
			defer c.ready.Add(-1)
			ready()
		}
		if stands && c.churn {
			c.cycles.Add(1)
			return nil
		}
		n, err := conn.Read(buffer)
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w (%w)", errEnded, io.ErrUnexpectedEOF)
		} else if err != nil {
			return err
		}
		kept = append(kept, buffer[:n]...)
		reads.Lock()
		took, err := c.take(reader, d, kept)
		reply = append(reply[:0], c.ear.reply...)
		stands = stands || c.ear.ready
		reads.Unlock()
		if err != nil {
			return err
		}
		if kept = append(kept[:0], kept[took:]...); len(kept) > maxUnit+maxHead {
			return errTooLong
		}
		if len(reply) == 0 {
			continue
		}
		if _, err := conn.Write(reply); err != nil {
			return err
		}
	}
}

func (c *crowd) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", c.address)
	if err != nil || c.tls == nil {
		return conn, err
	}
	return tls.Client(conn, c.tls), nil
}
