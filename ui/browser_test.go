package ui_test

import (
	"bytes"
	"context"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"corbie/internal/testenv"
	"corbie/ui/uitest"
)

// browser starts Chromium, with one page open, for a server.
func browser(t *testing.T, h http.Handler, extra ...chromedp.ExecAllocatorOption) (context.Context, string) {
	t.Helper()
	path := testenv.Program(t, "chromium")
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	options := append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.WindowSize(1200, 1000), chromedp.UserDataDir(t.TempDir()),
	}, extra...)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	t.Cleanup(cancel)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancelAllocator)
	ctx, cancelPage := chromedp.NewContext(ctx)
	t.Cleanup(cancelPage)
	return ctx, server.URL
}

func ask[T any](t *testing.T, ctx context.Context, expression string) T { //nolint:revive // t first, as in every helper of a test
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) { //nolint:revive // as above
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, ctx context.Context, expression string) { //nolint:revive // as above
	t.Helper()
	const patience = 20 * time.Second
	expression = "Boolean(" + expression + ")"
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience)))
	for start := time.Now(); pageWentAway(err) && time.Since(start) < patience; {
		_, err = chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience)))
	}
	if err != nil {
		at, _ := chromedp.Run(ctx, chromedp.Location())
		t.Fatalf("waiting for %s at %s: %v", expression, at, err)
	}
}

// pageWentAway tells whether the browser was still leaving the page that was asked: the next one can answer.
func pageWentAway(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "Cannot find context") || strings.Contains(err.Error(), "context was destroyed") ||
		strings.Contains(err.Error(), "target navigated"))
}

// quiet fails when the browser complained: an error, a warning, a broken policy, a script that threw.
func quiet(t *testing.T, ctx context.Context, messages func(func(chromedp.ConsoleMessage, error) bool)) { //nolint:revive // as above
	t.Helper()
	ask[bool](t, ctx, `(console.log('the test is over'), true)`)
	for m, err := range messages {
		if err != nil {
			t.Fatal(err)
		}
		if m.Text == "the test is over" {
			return
		}
		switch m.Type {
		case chromedp.ConsoleError, chromedp.ConsoleWarning, chromedp.ConsoleException:
			t.Errorf("the browser says: %s (%s)", m, m.URL)
		case chromedp.ConsoleLog, chromedp.ConsoleDebug, chromedp.ConsoleInfo:
		}
	}
}

const drawn = `document.getElementById('chart')?.dataset.drawn && document.querySelector('#chart canvas') !== null`

func TestDraggingZoomsAndTheBackButtonReturns(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())))
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/h/web2.example.com/if_eth0"))
	waitFor(t, ctx, drawn)
	before := ask[string](t, ctx, `document.getElementById('range').textContent`)
	box := ask[[]float64](t, ctx, `(() => { const r = document.getElementById('chart').getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()`)
	if box[3] < 300 {
		t.Fatalf("the chart is %v pixels high", box[3])
	}
	do(t, ctx, chromedp.DragAndDropXY(box[0]+box[2]*0.5, box[1]+box[3]/2, box[0]+box[2]*0.75, box[1]+box[3]/2))
	waitFor(t, ctx, `new URL(location.href).searchParams.has('from') && document.getElementById('range').textContent !== `+quote(before))
	span := ask[float64](t, ctx, `(() => { const p = new URL(location.href).searchParams; return Number(p.get('to')) - Number(p.get('from')); })()`)
	if hours := span / 3600; hours < 6 || hours > 10 {
		t.Errorf("a quarter of 30 hours became %v hours", hours)
	}
	zoomed := ask[string](t, ctx, `document.querySelector('.files a[href*=csv]').href`)
	if !strings.Contains(zoomed, "from=1") {
		t.Errorf("the links under the chart still lead to %s", zoomed)
	}
	do(t, ctx, chromedp.Focus(chromedp.CSS("#chart")), chromedp.KeyEvent("-"))
	waitFor(t, ctx, `(() => { const p = new URL(location.href).searchParams; return Number(p.get('to')) - Number(p.get('from')) > `+quoteNumber(span*1.2)+`; })()`)
	ask[bool](t, ctx, `(history.back(), true)`)
	waitFor(t, ctx, `Number(new URL(location.href).searchParams.get('to')) - Number(new URL(location.href).searchParams.get('from')) < `+quoteNumber(span*1.1))
	ask[bool](t, ctx, `(history.back(), true)`)
	waitFor(t, ctx, `location.search === '' && document.getElementById('range').textContent.length > 10 && document.querySelector('.periods [aria-current]')?.textContent === 'day'`)
	waitFor(t, ctx, drawn)
	quiet(t, ctx, messages)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `\'`) + "'" }

func quoteNumber(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

func TestNoPageMakesTheBrowserComplain(t *testing.T) {
	s := newServer(t, hostileFleet(`</script><script>alert(1)</script>"'><img src=x onerror=alert(1)>{a|b}__f__alert(1)__f__`))
	ctx, address := browser(t, s)
	messages := chromedp.Console(ctx)
	bad := `document.querySelector('.hosts a[href*="script"]').href`
	do(t, ctx, chromedp.Navigate(address+"/"))
	host := ask[string](t, ctx, bad)
	for _, page := range []string{"/", "/problems", "/capacity", "/h/web2.example.com", "/h/db1.example.com"} {
		do(t, ctx, chromedp.Navigate(address+page))
		waitFor(t, ctx, `[...document.images].filter((i) => i.loading !== 'lazy').every((i) => i.complete)`)
	}
	for _, page := range []string{host + "/bad", address + "/h/web2.example.com/cpu", address + "/h/files.example.com/df", address + "/h/web2.example.com/memory?from=now-400d&to=now"} {
		do(t, ctx, chromedp.Navigate(page))
		waitFor(t, ctx, drawn)
		box := ask[[]float64](t, ctx, `(() => { const r = document.getElementById('chart').getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`)
		do(t, ctx, chromedp.MouseClickXY(box[0], box[1])) // the tooltip shows
	}
	quiet(t, ctx, messages)
}

func TestAPageRefreshesItselfWithoutLosingItsPlace(t *testing.T) {
	f := uitest.New(time.Now())
	for i := range f.Known {
		f.Known[i].Interval = time.Second // pages refresh every ten seconds at most
	}
	ctx, address := browser(t, newServer(t, f))
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/h/web2.example.com"))
	ask[bool](t, ctx, `(document.querySelector('#g-memory h3 a').focus({ preventScroll: true }), scrollTo({ top: 400, behavior: 'instant' }), true)`)
	ask[bool](t, ctx, `(document.querySelector('#g-memory').marked = true)`)
	waitFor(t, ctx, `document.querySelector('#g-memory').marked !== true`)
	if !ask[bool](t, ctx, `document.activeElement === document.querySelector('#g-memory h3 a') && scrollY === 400`) {
		t.Errorf("the focus or the place was lost: %s at %v", ask[string](t, ctx, `document.activeElement.outerHTML.slice(0, 200)`), ask[float64](t, ctx, `scrollY`))
	}
	quiet(t, ctx, messages)
}

// clockwork puts the long timers of a page into the test's hand: due() runs those that are waiting, and says how many they were.
const clockwork = `(() => {
	const waiting = new Map(), begin = window.setTimeout, cancel = window.clearTimeout;
	const get = window.fetch;
	let last = 1e9;
	window.asked = 0; // the browser may answer from its cache: count here, not at the server
	window.fetch = (...what) => { window.asked++; return get(...what); };
	window.setTimeout = (f, ms, ...rest) => { if (ms < 5000) return begin(f, ms, ...rest); waiting.set(++last, f); return last; };
	window.clearTimeout = (id) => { if (!waiting.delete(id)) cancel(id); };
	window.due = () => { const all = [...waiting.values()]; waiting.clear(); all.forEach((f) => f()); return all.length; };
	window.look = (hidden) => {
		Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
		document.dispatchEvent(new Event('visibilitychange'));
		return true;
	};
	return look(true) && look(false);
})()`

func TestAHiddenPageRestsAndAnOldOneSaysSo(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	var broken atomic.Bool
	ctx, address := browser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			http.Error(w, "the master is started anew", http.StatusServiceUnavailable)
			return
		}
		s.ServeHTTP(w, r)
	}))
	do(t, ctx, chromedp.Navigate(address+"/problems"))
	ask[bool](t, ctx, clockwork)
	if got := ask[int](t, ctx, `look(true) && due()`); got != 0 {
		t.Errorf("%d timers run while nobody looks", got)
	}
	ask[bool](t, ctx, `document.dispatchEvent(new Event('refresh'))`)
	if got := ask[int](t, ctx, `look(false) && (document.querySelector('.problems').marked = true) && due()`); got != 1 {
		t.Errorf("%d timers run when somebody looks again, want 1", got)
	}
	waitFor(t, ctx, `document.querySelector('.problems').marked !== true`)
	if got := ask[int](t, ctx, `asked`); got != 1 {
		t.Errorf("the page was asked for %d times, want once: not while it was hidden", got)
	}
	const old = `document.getElementById('stale').checkVisibility()`
	if ask[bool](t, ctx, old) {
		t.Error("a page that was just read says that it is old")
	}
	made := ask[string](t, ctx, `document.querySelector('#made time').textContent`)
	broken.Store(true)
	waitFor(t, ctx, `due() > 0`)
	waitFor(t, ctx, old)
	if got := ask[string](t, ctx, `document.getElementById('stale').textContent`); !strings.Contains(got, "could not be brought up to date. It shows the state of "+made) {
		t.Errorf("the banner says %q", got)
	}
	broken.Store(false)
	waitFor(t, ctx, `due() > 0`)
	waitFor(t, ctx, `!`+old)
}

func TestTheUnitOfAGraphIsShownOnce(t *testing.T) {
	server := newServer(t, uitest.New(time.Now()))
	ctx, address := browser(t, server)
	do(t, ctx, chromedp.Navigate(address+"/h/files.example.com/df"))
	waitFor(t, ctx, drawn)
	const visible = `document.querySelector('.unit').checkVisibility({ visibilityProperty: true })`
	if !ask[bool](t, ctx, visible) {
		t.Error("the live chart has no unit")
	}
	// As it is without scripts: the server's picture has the unit.
	if ask[bool](t, ctx, `(document.getElementById('chart').classList.remove('live'), `+visible+`)`) {
		t.Error("the unit stands above the picture that has it, too")
	}
	unit := ask[string](t, ctx, `document.querySelector('.unit').textContent`)
	picture := httptest.NewRecorder()
	server.ServeHTTP(picture, httptest.NewRequestWithContext(ctx, http.MethodGet, "/h/files.example.com/df.svg?bare=1", nil))
	if unit == "" || strings.Count(picture.Body.String(), ">"+unit+"<") != 1 {
		t.Errorf("the picture does not say %q once", unit)
	}
}

func TestWithoutJavaScriptTheServersPictureIsShown(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())), chromedp.Flag("blink-settings", "scriptEnabled=false"))
	do(t, ctx, chromedp.Navigate(address+"/h/web2.example.com/memory"), chromedp.WaitReady(chromedp.CSS("#chart img")))
	shot, err := chromedp.Run(ctx, chromedp.Screenshot(chromedp.CSS("#chart img")))
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	coloured := 0
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			if r, g, b, _ := picture.At(x, y).RGBA(); max(r, g, b)-min(r, g, b) > 0x4000 {
				coloured++
			}
		}
	}
	if share := float64(coloured) / float64(bounds.Dx()*bounds.Dy()); share < 0.3 {
		t.Errorf("only %.0f %% of the picture is coloured: it is not drawn", share*100)
	}
}
