package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browsers are the programs that are looked for.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// newBrowser starts a browser, which ends with the test. Without one the test is skipped.
func newBrowser(t testing.TB) context.Context {
	t.Helper()
	path := ""
	for _, name := range browsers {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skipf("the page is not tested here, for want of a browser: one of %s", strings.Join(browsers, ", "))
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.DisableGPU, chromedp.WSURLReadTimeout(time.Minute),
		chromedp.NoSandbox) // which root cannot have; it opens pages of these tests only
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// A tab is one page in a browser, in a profile of its own: with cookies, connections and
// workers of its own.
type tab struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	troubles []string // errors of scripts, violations of the policy and requests to other hosts
	host     string   // that it may ask; empty before open
}

func newTab(t testing.TB, browser context.Context) *tab {
	t.Helper()
	p := &tab{t: t}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.note))
	t.Cleanup(cancel)
	p.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // without a deadline, which would be that of the tab
		t.Fatal(err)
	}
	command(p, network.Enable, network.EnableParams{})
	command(p, cdplog.Enable, cdp.Empty{})
	command(p, runtime.Enable, cdp.Empty{})
	return p
}

// command sends a command of the browser's protocol.
func command[P, R any](p *tab, c cdp.Command[P, R], params P) {
	p.t.Helper()
	p.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	}))
}

// note keeps what no page should do.
func (p *tab) note(ev any) {
	trouble := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		trouble = ev.ExceptionDetails.Text
		if o := ev.ExceptionDetails.Exception; o != nil {
			trouble += ": " + o.Description
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			trouble = "console: " + string(ev.Type)
			for _, arg := range ev.Args {
				trouble += " " + string(arg.Value) + arg.Description
			}
		}
	case *cdplog.EventEntryAdded:
		if e := ev.Entry; e.Source == cdplog.EntrySourceSecurity || e.Source == cdplog.EntrySourceJavascript || strings.Contains(e.Text, "Content Security Policy") {
			trouble = e.Text
		}
	case *network.EventRequestWillBeSent:
		p.mu.Lock()
		host := p.host
		p.mu.Unlock()
		if u, err := url.Parse(ev.Request.URL); err == nil && host != "" && u.Host != host && u.Scheme != "data" && u.Scheme != "about" {
			trouble = "it asks another host: " + ev.Request.URL
		}
	case *page.EventJavascriptDialogOpening:
		trouble = "a dialog of the browser: " + ev.Message
	}
	if trouble != "" {
		p.mu.Lock()
		p.troubles = append(p.troubles, trouble)
		p.mu.Unlock()
	}
}

// checkQuiet fails the test if the page did what no page should do.
func (p *tab) checkQuiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.troubles {
		p.t.Error(s)
	}
	p.troubles = nil
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// size has the page think that its window has so many pixels, and its user prefers a scheme.
func (p *tab) size(width, height int64, scheme string) {
	p.t.Helper()
	command(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500,
	})
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
}

func (p *tab) open(address string) {
	p.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.host = u.Host
	p.mu.Unlock()
	p.run(chromedp.Navigate(address))
}

// eval returns the value of an expression, which may be a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := tryEval[T](p, expression)
	if err != nil {
		p.t.Fatalf("%s: %v", expression[:min(len(expression), 200)], err)
	}
	return v
}

func tryEval[T any](p *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// leaves reports whether an expression has no value because the page was left meanwhile.
func leaves(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "navigated or closed") || strings.Contains(err.Error(), "context was destroyed"))
}

// await waits until an expression is true, for at most 30 s, and returns how long that took.
func (p *tab) await(expression string) time.Duration {
	p.t.Helper()
	began := time.Now()
	for time.Since(began) < 30*time.Second {
		so, err := tryEval[bool](p, "!!("+expression+")")
		if err != nil && !leaves(err) {
			p.t.Fatalf("%s: %v", expression, err)
		}
		if so {
			return time.Since(began)
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Errorf("not so after 30 s: %s", expression)
	p.shot("failed-" + p.t.Name())
	p.t.Fatalf("the page shows:\n%s", eval[string](p, "document.body.innerText"))
	return 0
}

// shows waits until the page shows a text.
func (p *tab) shows(text string) time.Duration {
	p.t.Helper()
	return p.await(fmt.Sprintf("document.body.innerText.includes(%s)", quote(text)))
}

// quote writes a string as JavaScript does.
func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// shot writes a picture of the page to the folder SHOTS of the environment, if there is one.
func (p *tab) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// axe is axe-core, which .ci/run fetches; see AXE.
var axe = sync.OnceValues(func() (string, error) {
	path := os.Getenv("AXE")
	if path == "" {
		return "", nil
	}
	script, err := os.ReadFile(path)
	return string(script), err
})

// checkAccessible has axe-core look at the page. Nothing serious may be found.
func (p *tab) checkAccessible() {
	p.t.Helper()
	script, err := axe()
	if err != nil {
		p.t.Fatal(err)
	}
	if script == "" {
		p.t.Log("AXE does not name axe-core's axe.min.js, so that nothing looks whether all can use the page")
		return
	}
	if !eval[bool](p, "'axe' in window") {
		eval[bool](p, script+"; true")
	}
	findings := eval[[]string](p, `axe.run({resultTypes: ["violations"]}).then(r => r.violations
		.filter(v => v.impact == "serious" || v.impact == "critical")
		.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map(n => n.html + " " + n.failureSummary).join(" | ")))`)
	for _, f := range findings {
		p.t.Error(f)
	}
}
