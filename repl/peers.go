package repl

import (
	"context"
	"sync"
	"time"

	"github.com/distproc/distproc/node"
)

// peers caches the members for completion, which must not wait.
type peers struct {
	cluster Cluster
	ctx     context.Context // of the conversation
	wg      sync.WaitGroup

	mu      sync.Mutex
	members []node.Member // guarded by mu
	asking  bool          // guarded by mu
}

// refresh updates the cache in the background.
func (p *peers) refresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asking || p.ctx.Err() != nil {
		return
	}
	p.asking = true
	p.wg.Go(func() {
		ctx, cancel := context.WithTimeout(p.ctx, 2*time.Second)
		defer cancel()
		members, err := p.cluster.Members(ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.asking = false; err == nil {
			p.members = members
		}
	})
}

func (p *peers) list() []node.Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members
}
