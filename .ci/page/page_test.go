package page

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// isLive is true while the page shows what the node has told lately.
const isLive = `document.getElementById("live") && !document.getElementById("live").hidden`

// views are the parts of the page, with what shows that each has its figures.
var views = []struct{ hash, filled string }{
	{"overview", `document.querySelectorAll("table.members tbody tr").length == 3 && document.querySelectorAll("article.kind svg path[d], article.kind svg polyline").length > 3`},
	{"kinds", `document.querySelectorAll("table tbody tr").length >= 5`},
	{"kinds/price", `document.querySelectorAll("main svg").length > 0`},
	{"ids", `document.querySelectorAll("table.hot tbody tr").length > 5`},
	{"id/default/1", `document.querySelectorAll("main svg").length > 0 && document.body.innerText.includes("mod 3")`},
	{"ring?add=4%4010.0.0.4", `document.querySelectorAll("table.plans tbody tr").length == 2`},
	{"events", `document.querySelectorAll("table.events tbody tr").length > 0`},
}

// TestViews looks at each view, in both schemes and from a phone to a wall.
func TestViews(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t)
	c.load()
	p := newTab(t, browser)
	p.open(c.url(1))
	p.await(isLive)
	p.await(`document.body.innerText.includes("price")`)
	for _, v := range views {
		p.open(c.url(1) + "#" + v.hash)
		p.await(isLive)
		p.await(v.filled)
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{360, 1280, 2560} {
				name := fmt.Sprintf("%s-%s-%d", strings.NewReplacer("/", "-", "?", "-").Replace(v.hash), scheme, width)
				p.size(width, width*9/16+600*360/width, scheme)
				p.await(fmt.Sprintf("innerWidth == %d", width))
				if wide := eval[int](p, "document.documentElement.scrollWidth"); wide > int(width) {
					t.Errorf("%s is %d pixels wide", name, wide)
				}
				p.checkAccessible()
				p.shot(name)
			}
		}
	}
	p.checkQuiet()
}

// TestNodeDies kills a member, and then the node that serves the page. The page says so, and
// comes back by itself.
func TestNodeDies(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t)
	p := newTab(t, browser)
	p.open(c.url(1))
	p.await(isLive)
	row := fmt.Sprintf(`[...document.querySelectorAll("table.members tbody tr")].find(r => r.innerText.includes(%s))?.innerText`, quote(c.name(3)))
	p.await(row + `?.includes("alive")`)
	c.nodes[3].kill()
	t.Logf("that a member has died shows after %v", p.await(row+`?.includes("failed")`))
	p.shows(c.name(3)) // among what needs attention
	p.await(fmt.Sprintf(`document.querySelector(".attention").innerText.includes(%s)`, quote(c.name(3))))
	c.start(3)
	t.Logf("that it is back shows after %v", p.await(row+`?.includes("alive")`))
	p.checkQuiet()

	c.nodes[1].kill()
	t.Logf("that the node of the page has died shows after %v", p.await("!("+isLive+")"))
	p.shows("The page tries again.")
	p.shows(c.name(2)) // what it knew last
	c.start(1)
	t.Logf("that it is back shows after %v", p.await(isLive))
}

// TestNodeHangs stops a member, which then answers nothing, and has it go on.
func TestNodeHangs(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t)
	p := newTab(t, browser)
	p.open(c.url(1))
	p.await(isLive)
	named := fmt.Sprintf(`document.querySelector(".attention").innerText.includes(%s)`, quote(c.name(2)))
	p.await("!" + named)
	c.nodes[2].signal(t, syscall.SIGSTOP)
	t.Logf("that a member hangs shows after %v", p.await(named))
	p.await(isLive)
	c.nodes[2].signal(t, syscall.SIGCONT)
	t.Logf("that it goes on shows after %v", p.await("!"+named))
	p.checkQuiet()
}

// TestWrongClock has a browser whose clock is a day ahead. What the page says of times is
// right all the same.
func TestWrongClock(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t)
	p := newTab(t, browser)
	command(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `{ const day = 24 * 3600e3, D = Date; Date = class extends D { constructor(...a) { super(...(a.length ? a : [D.now() + day])) } }; Date.now = () => D.now() + day }`,
	})
	p.open(c.url(1))
	p.await(isLive)
	if ahead := eval[float64](p, "Date.now()") - float64(time.Now().UnixMilli()); ahead < 23*3600e3 {
		t.Fatalf("the clock of the page is %v ms ahead", ahead)
	}
	rows := `[...document.querySelectorAll("table.members tbody tr")].map(r => r.innerText).join()`
	p.await(rows + `.includes("alive")`)
	if text := eval[string](p, rows); strings.Contains(text, " h") || strings.Contains(text, "day") {
		t.Errorf("the members are %s", text)
	}
	c.nodes[1].kill()
	p.shows("The page tries again.")
	if text := eval[string](p, `document.getElementById("trouble").innerText`); strings.Contains(text, " h") || strings.Contains(text, "day") {
		t.Errorf("the page says %s", text)
	}
}

// TestOtherNode chooses another node on the page. Its figures come by way of the node that
// serves the page.
func TestOtherNode(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t)
	c.load()
	p := newTab(t, browser)
	p.open(c.url(1))
	p.await(isLive)
	p.await(`document.querySelectorAll("article.kind").length > 2`)
	eval[bool](p, fmt.Sprintf(`(() => { const s = document.getElementById("of"); s.value = %s; s.dispatchEvent(new Event("change", {bubbles: true})); return true })()`, quote(c.name(2))))
	p.shows("Figures of " + c.name(2))
	p.await(isLive)
	p.checkQuiet() // which would tell of a request to another host
}

// hostile ids are texts that a page could take for something else, and bytes that no text has.
var hostile = []string{
	"<script>window.bad=1</script>", `"><img src=x onerror=window.bad=1>`, "javascript:window.bad=1", "\u202eevil\u2066", "a\x1b[31mb\nc\x00d",
	strings.Repeat("W", 256), strings.Repeat("\xff", 256), "%2e%2e/%00", "../../x", "{{.CSRF}}", "' OR 1=1 --", "😀\u200d", "\ufeff", "#id/default/1?node=x",
}

// TestHostileIDs has the cluster busy with ids that are no friends of pages.
func TestHostileIDs(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t, "--ttl", "10m")
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for ctx.Err() == nil {
			for _, id := range hostile {
				if status := c.get(2, "/v1/value/"+percent(id)); status != http.StatusOK {
					t.Errorf("id %q: status %d", id, status)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	p := newTab(t, browser)
	p.size(1280, 900, "light")
	p.open(c.url(1) + "#ids")
	p.await(isLive)
	p.await(fmt.Sprintf(`document.querySelectorAll("table.hot tbody tr").length >= %d`, len(hostile)))
	p.shot("hostile-ids")
	p.checkAccessible()
	for _, id := range hostile {
		link := fmt.Sprintf(`[...document.querySelectorAll("table.hot a")].find(a => a.hash.toLowerCase().startsWith(%s))`, quote(strings.ToLower("#id/default/"+percent(id))))
		p.await(link)
		p.open(c.url(1) + "#id/default/" + percent(id))
		p.await(`document.body.innerText.includes("mod 3")`)
		if text := eval[string](p, "document.body.innerText"); strings.ContainsAny(text, "\u202e\u2066\x1b\x00") {
			t.Errorf("id %q: its characters are not made visible", id)
		}
		if wide := eval[int](p, "document.documentElement.scrollWidth"); wide > 1280 {
			t.Errorf("id %q makes the page %d pixels wide", id, wide)
		}
		p.open(c.url(1) + "#ids")
	}
	if eval[bool](p, `"bad" in window || document.querySelector("main script, main img") != null`) {
		t.Error("an id is taken for more than text")
	}
	p.checkQuiet()
}

// percent encodes every byte of an id that is no letter or digit.
func percent(id string) string {
	var b strings.Builder
	for _, c := range []byte(id) {
		if c == '-' || c == '_' || c == '~' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// TestActions does what the buttons of an id are for. Each asks first, and is an event.
func TestActions(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t, "--ttl", "10m")
	p := newTab(t, browser)
	p.open(c.url(1) + "#id/default/7")
	p.await(isLive)
	value := func() string { return c.command("get", "7", "--raw", "--attach", c.name(1)) }
	first := value()
	button := func(label string) {
		t.Helper()
		find := fmt.Sprintf(`[...document.querySelectorAll("main button")].find(b => b.innerText.startsWith(%s))`, quote(label))
		p.await(find)
		eval[bool](p, find+".click(), true")
		p.await(`document.getElementById("ask").open`)
	}
	button("Invalidate")
	p.run(chromedp.KeyEvent(kb.Escape))
	p.await(`!document.getElementById("ask").open`)
	if now := value(); now != first {
		t.Errorf("a button that was not confirmed made %q of %q", now, first)
	}
	button("Invalidate")
	p.checkAccessible()
	eval[bool](p, `document.getElementById("ask-yes").click(), true`)
	p.await(`document.querySelector(".result").innerText.length > 12 && !document.querySelector(".result").classList.contains("problem")`)
	button("Refresh")
	eval[bool](p, `document.getElementById("ask-yes").click(), true`)
	p.await(`document.querySelector(".result").innerText.startsWith("Refresh: ")`)
	button("Stop")
	eval[bool](p, `document.getElementById("ask-yes").click(), true`)
	p.await(`document.querySelector(".result").innerText.startsWith("Stop: ")`)
	events := c.command("events", "--attach", c.name(1))
	if n := strings.Count(events, "by=page"); n != 3 {
		t.Errorf("%d events of three acts:\n%s", n, events)
	}
	p.checkQuiet()
}

// TestToken goes through the form to the page, and out again.
func TestToken(t *testing.T) {
	browser := newBrowser(t)
	const token = "a token of these tests, 1234567890"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(token, " ", "-")), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, "--http-token-file", file)
	p := newTab(t, browser)
	p.open(c.url(1))
	p.await(`document.getElementById("token")`)
	p.checkAccessible()
	p.shot("login")
	typed := func(text string) {
		eval[bool](p, `document.getElementById("token").focus(), document.getElementById("token").value = "", true`)
		p.run(chromedp.KeyEvent(text + kb.Enter))
	}
	typed("not the token")
	p.await(`document.querySelector("#wrong")`)
	typed(strings.ReplaceAll(token, " ", "-"))
	p.await(isLive)
	if cookies := eval[string](p, "document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + location"); strings.Contains(cookies, "token") || strings.Contains(cookies, "distproc-session") {
		t.Errorf("a script can read %s", cookies)
	}
	// The node forgets all sessions when it starts again. The page leads to the form.
	c.nodes[1].kill()
	p.await("!(" + isLive + ")")
	c.start(1)
	p.await(`document.getElementById("token")`)
	typed(strings.ReplaceAll(token, " ", "-"))
	p.await(isLive)
	eval[bool](p, `document.querySelector("form[action='session/end'] button").click(), true`)
	p.await(`document.getElementById("token")`)
}

// TestNoJavaScript has a browser that runs no scripts. It shows a plain table.
func TestNoJavaScript(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t)
	p := newTab(t, browser)
	command(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	p.size(360, 800, "light")
	p.open(c.url(1))
	html, err := chromedp.Run(p.ctx, chromedp.Text("main"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		if !strings.Contains(html, c.name(i)) {
			t.Errorf("%s is missing:\n%s", c.name(i), html)
		}
	}
	p.shot("no-javascript")
}

// TestKeyboard goes over the page with keys alone.
func TestKeyboard(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t)
	p := newTab(t, browser)
	p.open(c.url(1))
	p.await(isLive)
	for key, view := range map[string]string{"1": "overview", "2": "kinds", "3": "ids", "4": "ring", "5": "events"} {
		p.run(chromedp.KeyEvent(key))
		p.await(fmt.Sprintf(`location.hash.startsWith("#%s")`, view))
	}
	p.run(chromedp.KeyEvent("?"))
	p.await(`document.getElementById("help").open`)
	p.checkAccessible()
	p.run(chromedp.KeyEvent(kb.Escape))
	p.await(`!document.getElementById("help").open`)
	// Not by chromedp, which types the character although the page does not let the key do that.
	eval[bool](p, `document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true, cancelable: true}))`)
	p.await(`document.activeElement.id == "look-id"`)
	p.run(chromedp.KeyEvent("42" + kb.Enter))
	p.await(`location.hash == "#id/default/42"`)
	p.await(`document.body.innerText.includes("42 mod 3 = 0")`)
	p.checkQuiet()
}

// TestManyPages opens twenty pages at once, each of a user of its own. They cost little more
// than one, because the node asks the others as often.
func TestManyPages(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t)
	const span = 10 * time.Second
	measure := func() (time.Duration, int) {
		before, calls := c.processorTime(), c.received(2)
		time.Sleep(span)
		return c.processorTime() - before, c.received(2) - calls
	}
	idle, _ := measure()
	open := func(n int) {
		for range n {
			p := newTab(t, browser)
			p.size(360, 480, "light")
			p.open(c.url(1) + "#ring") // of which a browser has the least to draw
			p.await(isLive)
		}
	}
	open(1)
	one, callsOfOne := measure()
	open(19)
	twenty, callsOfTwenty := measure()
	t.Logf("of a core: %.1f %% without a page, %.1f %% with one, %.1f %% with twenty; bytes to another node: %d with one, %d with twenty",
		percentOf(idle, span), percentOf(one, span), percentOf(twenty, span), callsOfOne, callsOfTwenty)
	if cost := percentOf(twenty-idle, span); cost > 2 {
		t.Errorf("twenty pages cost %.1f %% of a core", cost)
	}
	if callsOfTwenty > callsOfOne*3/2 {
		t.Errorf("the node asks another one for %d bytes with one page, and %d with twenty", callsOfOne, callsOfTwenty)
	}
}

func percentOf(d, of time.Duration) float64 { return 100 * d.Seconds() / of.Seconds() }

// received returns the bytes that a node has received.
func (c *cluster) received(i int) int {
	answer, err := client.Get(c.url(i) + "metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(body.String()) {
		var n float64
		if k, _ := fmt.Sscanf(line, "distproc_received_bytes_total %g", &n); k == 1 {
			return int(n)
		}
	}
	c.t.Fatal("no distproc_received_bytes_total")
	return 0
}

// TestTwoHundredStreams has two hundred readers of the page's figures at once, some of which
// never read. The page still opens and is live.
func TestTwoHundredStreams(t *testing.T) {
	browser := newBrowser(t)
	c := newCluster(t)
	address, err := url.Parse(c.url(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		stream(t, address.Host, "/page/stream")
	}
	p := newTab(t, browser)
	p.open(c.url(1))
	p.await(isLive)
	p.checkQuiet()
}
