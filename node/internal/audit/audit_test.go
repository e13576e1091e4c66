package audit

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAuditIsBounded has somebody do things in a loop.
func TestAuditIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		a := New(slog.New(slog.NewTextHandler(&text, nil)))
		for range 1000 {
			a.Note("worker stopped", Actor{Name: "1@a"})
		}
		time.Sleep(time.Second)
		a.Note("worker stopped", Actor{"2@a", "b:1"})
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		if len(lines) != 101 || !strings.HasSuffix(lines[100], `msg="worker stopped" by=2@a from=b:1 left_out=900`) {
			t.Errorf("%d lines, the last are %q", len(lines), lines[100:])
		}
	})
}

// TestActor has the node act by itself, and for somebody.
func TestActor(t *testing.T) {
	ctx := t.Context()
	if by := ActorIn(ctx, "1@a"); by != (Actor{Name: "1@a"}) {
		t.Errorf("%+v", by)
	}
	page := Actor{Name: "page", From: "b:1"}
	if by := ActorIn(WithActor(ctx, page), "1@a"); by != page {
		t.Errorf("%+v", by)
	}
}
