package ui_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"corbie/munin"
	"corbie/ui/access"
	"corbie/ui/uitest"
)

// axeSum is the SHA-256 of the axe.min.js that testdata/axe/README.md tells of.
const axeSum = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"

// violation is something that axe-core found.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML           string
		FailureSummary string
	}
}

// axe loads axe-core into a browser, and returns what looks over the page that is open.
func axe(t *testing.T) func(ctx context.Context, where string) {
	t.Helper()
	script, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(script); hex.EncodeToString(sum[:]) != axeSum {
		t.Fatal("testdata/axe/axe.min.js is not the one that was looked at")
	}
	return func(ctx context.Context, where string) {
		t.Helper()
		ask[bool](t, ctx, string(script)+"; true")
		// What it tells is kept on the page until it is asked for: promises of a whole page would need no less.
		ask[bool](t, ctx, `(axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'] })
			.then((r) => { window.found = JSON.stringify({ violations: r.violations, passes: r.passes.length }); }, (e) => { window.found = JSON.stringify({ error: String(e) }); }), true)`)
		waitFor(t, ctx, `typeof window.found === 'string'`)
		var found struct {
			Error      string
			Passes     int
			Violations []violation
		}
		if err := json.Unmarshal([]byte(ask[string](t, ctx, `window.found`)), &found); err != nil || found.Error != "" {
			t.Fatalf("%s: %v %s", where, err, found.Error)
		}
		if found.Passes < 10 {
			t.Errorf("%s: only %d rules were tried", where, found.Passes)
		}
		for _, v := range found.Violations {
			for i, n := range v.Nodes {
				if i < 3 {
					t.Errorf("%s: %s (%s, %d times): %s\n\t%.300s\n\t%s", where, v.ID, v.Impact, len(v.Nodes), v.Help, n.HTML, n.FailureSummary)
				}
			}
		}
	}
}

func TestNoPageHasABarrierInEitherTheme(t *testing.T) {
	for theme, setting := range map[string]string{"light": "preferredColorScheme=1", "dark": "preferredColorScheme=0"} {
		t.Run(theme, func(t *testing.T) {
			h := newHouse(t, func(s *access.Settings) { s.OIDC = &access.OIDC{Issuer: "https://login.example.com", Client: "corbie"} })
			check := axe(t)
			ctx, address := browser(t, h, chromedp.Flag("blink-settings", setting))
			do(t, ctx, chromedp.Navigate(address+"/login?next=/keys"))
			if got := ask[bool](t, ctx, `matchMedia('(prefers-color-scheme: dark)').matches`); got != (theme == "dark") {
				t.Fatalf("the browser's theme is not %s", theme)
			}
			check(ctx, "/login")
			do(t, ctx, chromedp.SendKeys(chromedp.CSS("#name"), "alice"), chromedp.SendKeys(chromedp.CSS("#password"), "wonderland\r"))
			waitFor(t, ctx, `location.pathname === '/keys'`)
			pages := kinds(t, h.fleet)
			for _, path := range pages {
				do(t, ctx, chromedp.Navigate(address+path))
				if ask[bool](t, ctx, `document.getElementById('chart') !== null`) {
					waitFor(t, ctx, drawn)
				}
				check(ctx, path)
			}
			t.Logf("%d pages", len(pages)+1)
		})
	}
}

func TestNoPageOfALargeFleetHasABarrierInEitherTheme(t *testing.T) {
	f := uitest.Large(time.Now(), 150)
	for i := range f.Known { // one that is new, and one that never answered
		if i == 20 || i == 21 {
			f.Known[i].LastAnswer, f.Known[i].FirstSeen = time.Time{}, time.Time{}
		}
		if i == 20 {
			f.Known[i].LastTried = time.Time{}
		}
	}
	for theme, setting := range map[string]string{"light": "preferredColorScheme=1", "dark": "preferredColorScheme=0"} {
		t.Run(theme, func(t *testing.T) {
			check := axe(t)
			ctx, address := browser(t, newServer(t, f), chromedp.Flag("blink-settings", setting))
			for _, path := range []string{"/", "/g/rack01", "/problems", "/missing", "/inventory", "/x/df", "/h/node0020", "/h/node0021"} {
				do(t, ctx, chromedp.Navigate(address+path))
				if path == "/" && !ask[bool](t, ctx, `document.querySelector('.wrong-hosts tbody tr') !== null && document.querySelector('.dense') !== null`) {
					t.Fatal("the overview is not that of a large fleet")
				}
				check(ctx, path)
			}
		})
	}
}

// kinds are addresses of one page of each kind, and of some with much on them.
func kinds(tb testing.TB, f *uitest.Fleet) []string {
	tb.Helper()
	if err := f.SaveView(tb.Context(), munin.SavedView{
		Name: "night", Title: "Night shift", Items: []munin.SavedItem{{Host: "shop;web2.example.com", Graph: "cpu"}, {Host: "office;files.example.com", Graph: "df"}},
	}); err != nil {
		tb.Fatal(err)
	}
	return []string{
		"/", "/problems", "/capacity", "/changes", "/inventory", "/missing", "/missing?plugin=cpu", "/views", "/v/night", "/kiosk", "/keys",
		"/search", "/search?q=web", "/g/shop", "/c/disk", "/x/df", "/h/web2.example.com", "/h/db1.example.com", "/h/files.example.com", "/h/web2.example.com/cpu",
		"/h/files.example.com/df", "/h/web2.example.com/if_eth0?from=now-7d&to=now", "/h/nowhere", "/account", "/audit", "/h/new.example.com",
	}
}
