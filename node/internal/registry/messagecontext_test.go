package registry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

// TestMessageContext has a server keep the contexts of its messages, some of which it has
// looked at. Each has ended with its message, and has nothing of a later one.
func TestMessageContext(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(context.Context) <-chan struct{}{
		"not at all":     func(context.Context) <-chan struct{} { return closed },
		"at its channel": func(ctx context.Context) <-chan struct{} { return ctx.Done() },
		"at its error":   func(ctx context.Context) <-chan struct{} { _ = ctx.Err(); return closed },
		"at its cause":   func(ctx context.Context) <-chan struct{} { chain.CauseOf(ctx); return closed },
		"by a child":     func(ctx context.Context) <-chan struct{} { return context.WithValue(ctx, look{}, 1).Done() },
	} {
		for _, inline := range []bool{false, true} {
			var channels []<-chan struct{}
			var kept []context.Context // of the messages to 0, 0, 1, 1, 2 and so on
			kind := worker.Serial{Inline: inline, TTL: time.Hour, Timeout: time.Minute, Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
				return serverFunc(func(ctx context.Context, m worker.Value) (worker.Value, error) {
					for i, earlier := range kept {
						of := chain.CauseOf(earlier).Of
						if earlier.Err() != context.Canceled || !clock.IsDone(earlier.Done()) || !clock.IsDone(channels[i]) || of != (worker.Key{}) && of.ID != worker.IntID(int64(i/2)) {
							t.Errorf("%s: the context of message %d is %v, of %+v", name, i, earlier.Err(), of)
						}
					}
					kept, channels = append(kept, ctx), append(channels, look(ctx))
					if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != time.Minute {
						t.Errorf("%s: it has %v", name, time.Until(deadline))
					}
					want := chain.Cause{Of: worker.Key{Kind: worker.DefaultKind, ID: id}, Deadline: time.Now().Add(worker.DefaultTimeout)}
					if got := chain.CauseOf(ctx); got.Of != want.Of || !got.Deadline.Equal(want.Deadline) {
						t.Errorf("%s: cause %+v, want %+v", name, got, want)
					}
					return m, ctx.Err()
				}), nil
			}}
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				for i := range int64(3 * madeAhead / 2) {
					if _, err := r.request(context.Background(), worker.IntID(i/2)); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// TestMessageContextEnds has contexts of messages end before their messages do.
func TestMessageContextEnds(t *testing.T) {
	t.Parallel()
	kind := worker.Serial{TTL: time.Hour, Timeout: time.Minute, Open: func(context.Context, worker.ID) (worker.Server, error) {
		return serverFunc(func(ctx context.Context, _ worker.Value) (worker.Value, error) {
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}), nil
	}}
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(kind, "1@h", 100)
		began := time.Now()
		if _, err := r.request(t.Context(), worker.IntID(7)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != worker.DefaultTimeout {
			t.Errorf("its caller's deadline: %v after %v", err, time.Since(began))
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		over, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan error)
		go func() {
			_, err := r.request(context.Background(), worker.IntID(7))
			done <- err
		}()
		synctest.Wait()
		if err := r.Close(over); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil {
			t.Error("the message has succeeded")
		}
	})
}
