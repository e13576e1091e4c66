package client

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

var Late = late

// AttachIdle returns a client whose view nothing fetches, and whose session nothing
// replaces.
func AttachIdle(ctx context.Context, config Config) (*Client, error) {
	c := &Client{Config: config, stale: make(chan struct{}, 1)}
	s, err := c.attach(ctx, c.Addr, c.Addr.HostPort())
	if err == nil {
		c.begin(s)
	}
	return c, err
}

func (c *Client) Others() []placement.Addr { return c.others() }

func (c *Client) SetView(v protocol.View) bool { return c.setView(v) }

func (c *Client) SetHome(s *wire.Session) { c.home.Store(s) }

func (c *Client) Another(ctx context.Context, asked []*wire.Session, until time.Time) *wire.Session {
	return c.another(ctx, asked, until)
}

func (c *Client) Retry(ctx context.Context, request *wire.Request, err error, until time.Time) (worker.Reply, error) {
	return c.retry(ctx, c.Home(), request, err, until)
}
