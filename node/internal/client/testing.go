package client

import "github.com/distproc/distproc/node/internal/members"

// PretendView makes an old view the client's, until the next one is fetched. It is for
// tests.
func (c *Client) PretendView(v *members.View) { c.view.Store(v) }
