package ui_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"corbie/ui/uitest"
)

// picture keeps a screenshot of what the browser shows among the artefacts of the test (go test -artifacts).
func keepPicture(t *testing.T, ctx context.Context, name string) { //nolint:revive // t first, as in every helper of a test
	t.Helper()
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), shot, 0o600); err != nil {
		t.Fatal(err)
	}
}

func press(t *testing.T, ctx context.Context, keys ...string) { //nolint:revive // as above
	t.Helper()
	for _, key := range keys {
		do(t, ctx, chromedp.KeyEvent(key))
	}
}

const scripted = `document.readyState === 'complete' && document.getElementById('q')?.getAttribute('role') === 'combobox'`

func TestAProblemIsAcknowledgedInPlaceAndTakenBack(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())))
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/problems"))
	waitFor(t, ctx, scripted)
	ask[bool](t, ctx, `(document.querySelector('tr.critical[id*="df"] summary').click(), true)`)
	do(t, ctx, chromedp.SendKeys(chromedp.CSS(`tr.critical[id*="df"] [name=comment]`), "ordering disks"),
		chromedp.SendKeys(chromedp.CSS(`tr.critical[id*="df"] [name=by]`), "ann"))
	keepPicture(t, ctx, "acknowledge")
	do(t, ctx, chromedp.Click(chromedp.CSS(`tr.critical[id*="df"] form.stacked button`)))
	waitFor(t, ctx, `document.querySelector('.acknowledged')?.textContent.includes('ordering disks')`)
	if got := ask[string](t, ctx, `document.getElementById('counts').textContent`); !strings.Contains(got, "1 critical") || !strings.Contains(got, "1 acknowledged") {
		t.Errorf("the counts are %q", got)
	}
	do(t, ctx, chromedp.Click(chromedp.CSS(`.acknowledged button[name=undo]`)))
	waitFor(t, ctx, `document.readyState === 'complete' && document.getElementById('counts').textContent.includes('2 critical')`)
	quiet(t, ctx, messages)
}

func TestANoteAppearsOnTheGraphAndAmongTheChanges(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())))
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/h/web2.example.com/memory"))
	waitFor(t, ctx, drawn)
	press(t, ctx, "a")
	waitFor(t, ctx, `document.activeElement?.name === 'text'`)
	ask[bool](t, ctx, `(document.activeElement.value = '', true)`)
	do(t, ctx, chromedp.SendKeys(chromedp.CSS(`#annotate [name=text]`), "more <b>memory</b>"),
		chromedp.Click(chromedp.CSS(`#annotate button`)))
	waitFor(t, ctx, drawn+` && document.querySelector('.changes')?.textContent.includes('more <b>memory</b>')`)
	keepPicture(t, ctx, "annotated")
	picture := ask[string](t, ctx, `(() => { const r = new XMLHttpRequest(); r.open('GET', '/h/web2.example.com/cpu.svg?from=now-1h&to=now%2B1h', false); r.send(); return r.responseText; })()`)
	if !strings.Contains(picture, "deploy: more &lt;b&gt;memory&lt;/b&gt;") {
		t.Error("the picture of another graph of the host does not show it")
	}
	press(t, ctx, "g", "c")
	waitFor(t, ctx, `location.pathname === '/changes' && document.readyState === 'complete' && document.querySelector('.change-table')?.textContent.includes('more <b>memory</b>')`)
	keepPicture(t, ctx, "changes")
	quiet(t, ctx, messages)
}

func TestSearchIsOneKeyAwayOnEveryPage(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())))
	messages := chromedp.Console(ctx)
	for _, page := range []string{"/", "/h/files.example.com", "/capacity"} {
		do(t, ctx, chromedp.Navigate(address+page))
		waitFor(t, ctx, scripted)
		press(t, ctx, "/")
		waitFor(t, ctx, `document.activeElement?.id === 'q'`)
	}
	ask[bool](t, ctx, `(document.getElementById('q').select(), true)`)
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#q"), "web2 load"))
	waitFor(t, ctx, `document.querySelector('#found li')?.textContent.includes('web2.example.com › Load average')`)
	keepPicture(t, ctx, "search")
	press(t, ctx, kb.ArrowDown, kb.Enter)
	waitFor(t, ctx, `location.pathname === '/h/web2.example.com/load'`)
	waitFor(t, ctx, drawn)
	quiet(t, ctx, messages)
}

func TestAllPicturesOfAPageZoomAndHoverTogether(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())))
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/h/web2.example.com"))
	waitFor(t, ctx, scripted+` && document.querySelector('[data-live] img').complete`)
	box := ask[[]float64](t, ctx, `(() => { const r = document.querySelector('[data-live]').getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()`)
	y := box[1] + box[3]/2
	do(t, ctx, chromedp.MouseEvent("mouseMoved", box[0]+box[2]*0.6, y))
	waitFor(t, ctx, `[...document.querySelectorAll('.cursor')].filter((c) => !c.hidden).length > 2`)
	if places := ask[[]float64](t, ctx, `[...document.querySelectorAll('.cursor')].map((c) => Math.round(parseFloat(c.style.left)))`); places[0] != places[1] {
		t.Errorf("the lines stand at %v", places)
	}
	keepPicture(t, ctx, "hover")
	do(t, ctx, chromedp.DragAndDropXY(box[0]+box[2]*0.5, y, box[0]+box[2]*0.8, y))
	waitFor(t, ctx, `new URL(location.href).searchParams.has('from') && document.getElementById('range')`)
	srcs := ask[[]string](t, ctx, `[...document.querySelectorAll('[data-live] img')].map((i) => new URL(i.src).searchParams.get('from'))`)
	from := ask[string](t, ctx, `new URL(location.href).searchParams.get('from')`)
	for _, src := range srcs {
		if src != from {
			t.Errorf("a picture begins at %s, the page at %s", src, from)
		}
	}
	keepPicture(t, ctx, "zoomed")
	ask[bool](t, ctx, `(history.back(), true)`)
	waitFor(t, ctx, `location.search === '' && !document.getElementById('range')`)
	ask[bool](t, ctx, `(history.forward(), true)`)
	waitFor(t, ctx, `new URL(location.href).searchParams.get('from') === `+quote(from)+` && document.getElementById('range')`)
	press(t, ctx, kb.Escape)
	waitFor(t, ctx, `location.search === '' && !document.getElementById('range')`)
	quiet(t, ctx, messages)
}

func TestOneKeyLaysLastWeekOverAGraph(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())))
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/h/web2.example.com/load"))
	waitFor(t, ctx, drawn+" && "+scripted)
	press(t, ctx, "c")
	waitFor(t, ctx, `new URL(location.href).searchParams.get('compare') === 'day'`)
	waitFor(t, ctx, drawn+" && "+scripted)
	press(t, ctx, "c")
	waitFor(t, ctx, `new URL(location.href).searchParams.get('compare') === 'week'`)
	waitFor(t, ctx, drawn+" && "+scripted+` && document.querySelector('#chart').dataset.src.includes('compare=week')`)
	names := ask[[]string](t, ctx, `(() => { const r = new XMLHttpRequest(); r.open('GET', document.querySelector('#chart').dataset.src, false); r.send(); return JSON.parse(r.responseText).option.series.map((s) => s.name); })()`)
	if !strings.Contains(strings.Join(names, " | "), "load | load, a week before") {
		t.Errorf("the curves are %q", names)
	}
	keepPicture(t, ctx, "compared")
	quiet(t, ctx, messages)
}

// everyPage are addresses of all kinds of pages.
func everyPage() []string {
	return []string{
		"/", "/problems", "/changes", "/search?q=web", "/c/disk", "/x/load", "/inventory", "/inventory?lacks=cpu", "/missing", "/views", "/v/wall",
		"/keys", "/capacity", "/g/shop", "/h/web2.example.com", "/h/web2.example.com?from=now-7d", "/h/files.example.com/df?compare=week", "/nowhere",
		"/kiosk", "/kiosk?n=1",
	}
}

// withView is a fleet with a saved view.
func withView(t *testing.T) *uitest.Fleet {
	t.Helper()
	f := uitest.New(time.Now())
	s := newServer(t, f)
	w := post(t, s, "/views", url.Values{"title": {"Wall"}, "items": {"web2.example.com/load\nfiles.example.com/df\n"}})
	if w.Code != http.StatusSeeOther {
		t.Fatalf("the view was not saved: %d %s", w.Code, w.Body)
	}
	return f
}

func TestEveryPageFitsAPhoneInBothThemesAndTheBrowserIsQuiet(t *testing.T) {
	ctx, address := browser(t, newServer(t, withView(t)))
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	for _, theme := range []string{"light", "dark"} {
		for _, page := range everyPage() {
			if page == "/nowhere" { // the browser tells of the status 404 itself
				continue
			}
			do(t, ctx, chromedp.Navigate(address+page))
			waitFor(t, ctx, scripted)
			if theme == "dark" && ask[string](t, ctx, `document.documentElement.dataset.theme ?? ''`) != "dark" {
				ask[bool](t, ctx, `(document.getElementById('theme').value = 'dark', document.getElementById('theme').dispatchEvent(new Event('change')), true)`)
				waitFor(t, ctx, scripted+` && document.documentElement.dataset.theme === 'dark' && location.pathname + location.search === `+quote(page))
			}
			if wide := ask[float64](t, ctx, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 1 {
				t.Errorf("%s is %v pixels wider than a phone: %s", page, wide, ask[string](t, ctx,
					`[...document.querySelectorAll('main *, header *, footer *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll')).slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(' | ')`))
			}
			keepPicture(t, ctx, "phone-"+theme+strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(page))
		}
	}
	if dark := ask[string](t, ctx, `getComputedStyle(document.body).backgroundColor`); dark != "rgb(20, 24, 28)" {
		t.Errorf("the dark page is %s", dark)
	}
	if src := ask[string](t, ctx, `(() => { const r = new XMLHttpRequest(); r.open('GET', '/problems', false); r.send(); return r.responseText; })()`); !strings.Contains(src, "theme=dark") {
		t.Error("pictures do not follow the chosen theme")
	}
	quiet(t, ctx, messages)
}

func TestAPagePrintsToPDF(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())))
	messages := chromedp.Console(ctx)
	for _, page := range []string{"/problems", "/h/files.example.com"} {
		do(t, ctx, chromedp.Navigate(address+page))
		waitFor(t, ctx, scripted)
		pdf, err := chromedp.Run(ctx, chromedp.PrintToPDF())
		if err != nil {
			t.Fatal(err)
		}
		if len(pdf) < 10_000 || !bytes.HasPrefix(pdf, []byte("%PDF")) {
			t.Errorf("%s prints to %d bytes", page, len(pdf))
		}
		name := "print" + strings.ReplaceAll(page, "/", "-") + ".pdf"
		if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name), pdf, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	quiet(t, ctx, messages)
}

func TestTheKeysAreListedByAQuestionMark(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())))
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/"))
	waitFor(t, ctx, scripted)
	press(t, ctx, "?")
	waitFor(t, ctx, `document.getElementById('help')?.open && document.getElementById('help').textContent.includes('problems')`)
	press(t, ctx, kb.Escape)
	waitFor(t, ctx, `!document.getElementById('help')`)
	press(t, ctx, "j")
	if !ask[bool](t, ctx, `document.activeElement.matches('tbody th a')`) {
		t.Error("j does not lead to the first host")
	}
	quiet(t, ctx, messages)
}

func TestTheKioskShowsOneViewAfterTheOther(t *testing.T) {
	ctx, address := browser(t, newServer(t, withView(t)))
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/kiosk?every=5"))
	waitFor(t, ctx, `document.querySelector('h1').textContent === 'How things are'`)
	waitFor(t, ctx, `document.querySelector('h1').textContent === 'Wall' && document.querySelectorAll('.card').length === 2`)
	keepPicture(t, ctx, "kiosk")
	quiet(t, ctx, messages)
}

// step is one click on the way to an answer.
type step struct {
	click string // selector of a link; the first whose text holds text
	text  string
}

func TestFiveQuestionsAreAnsweredInThreeClicks(t *testing.T) {
	ctx, address := browser(t, newServer(t, uitest.New(time.Now())))
	messages := chromedp.Console(ctx)
	for _, q := range []struct {
		question string
		way      []step
		answer   string
	}{
		{
			"what is broken now?",
			[]step{{"#counts", ""}},
			`document.querySelector('.problems').textContent.includes('98.4 %') && document.querySelector('.problems').textContent.includes('db1.example.com')`,
		},
		{
			"was it so last week?",
			[]step{{"#counts", ""}, {".problems th a", "Load average"}, {".compare a", "last week"}},
			`document.querySelector('.compare [aria-current]').textContent === 'last week' && document.getElementById('chart').dataset.src.includes('compare=week')`,
		},
		{
			"which host has the busiest disk?",
			[]step{{".categories-all a", "disk"}, {"section h2 a", "ranking of all hosts"}},
			`document.querySelector('.ranking tbody tr th').textContent.includes('example.com') && document.querySelector('h1').textContent.includes('Disk')`,
		},
		{
			"what changed at the time of the deploy?",
			[]step{{".recent .deploy a[title]", ""}},
			`document.querySelector('tr.deploy.current').textContent.includes('shop 1.4') && document.querySelector('h1').textContent.startsWith('What changed around')`,
		},
		{
			"which hosts lack a plugin?",
			[]step{{".site a", "Inventory"}, {`#plugin-cpu td:last-child a`, ""}},
			`document.querySelector('h1').textContent === '1 host lacks the plugin cpu' && document.querySelector('.inventory').textContent.includes('new.example.com')`,
		},
	} {
		if len(q.way) > 3 {
			t.Errorf("%s takes %d clicks", q.question, len(q.way))
		}
		do(t, ctx, chromedp.Navigate(address+"/"))
		waitFor(t, ctx, scripted)
		for _, s := range q.way {
			before := ask[string](t, ctx, `location.href`)
			if !ask[bool](t, ctx, `(() => { const a = [...document.querySelectorAll(`+quote(s.click)+`)].find((e) => e.textContent.includes(`+quote(s.text)+`)); a?.click(); return Boolean(a); })()`) {
				t.Fatalf("%s There is no %s %q on %s", q.question, s.click, s.text, before)
			}
			waitFor(t, ctx, `location.href !== `+quote(before)+" && "+scripted)
		}
		waitFor(t, ctx, q.answer)
		keepPicture(t, ctx, strings.Trim(strings.ReplaceAll(q.question, " ", "-"), "?"))
	}
	quiet(t, ctx, messages)
}

// post sends a form of a page, with its token.
func post(t *testing.T, s http.Handler, path string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	first := visit(t, s, "/views")
	cookies := first.Result().Cookies()
	token := ""
	if _, rest, ok := strings.Cut(first.Body.String(), `name="token" value="`); ok {
		token, _, _ = strings.Cut(rest, `"`)
	}
	if form.Get("token") == "" {
		form.Set("token", token)
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
