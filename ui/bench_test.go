package ui_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/ui/uitest"
)

func load(b *testing.B, h http.Handler, path string, packed bool) *httptest.ResponseRecorder {
	b.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if packed {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.Fatalf("%s: status %d: %.200s", path, w.Code, w.Body)
	}
	return w
}

// BenchmarkOverviewOfAThousandHosts makes the overview from what the catalogue says, and sends it again from memory.
func BenchmarkOverviewOfAThousandHosts(b *testing.B) {
	f := uitest.Large(time.Now(), 1000)
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s := newServer(b, f)
			b.StartTimer()
			load(b, s, "/", true)
		}
	})
	b.Run("cached", func(b *testing.B) {
		s := newServer(b, f)
		load(b, s, "/", true)
		for b.Loop() {
			load(b, s, "/", true)
		}
	})
}

// BenchmarkBytesOfPages weighs each kind of page, as sent and unpacked.
func BenchmarkBytesOfPages(b *testing.B) {
	f := uitest.New(time.Now())
	large := uitest.Large(time.Now(), 1000)
	for _, page := range []struct {
		name, path string
		fleet      *uitest.Fleet
	}{
		{"overview-7-hosts", "/", f},
		{"overview-1000-hosts", "/", large},
		{"problems-5", "/problems", f},
		{"problems-30", "/problems", large},
		{"host", "/h/web2.example.com", f},
		{"graph", "/h/web2.example.com/cpu", f},
		{"picture", "/h/web2.example.com/cpu.svg", f},
		{"changes", "/changes", f},
		{"inventory-1000-hosts", "/inventory", large},
		{"ranking-1000-hosts", "/x/load", large},
		{"category-1000-hosts", "/c/disk", large},
		{"search", "/search?q=load", large},
		{"capacity", "/capacity", f},
	} {
		b.Run(page.name, func(b *testing.B) {
			s := newServer(b, page.fleet)
			packed, plain := 0, 0
			for b.Loop() {
				w := load(b, s, page.path, true)
				packed = w.Body.Len()
				if w.Header().Get("Content-Encoding") != "gzip" {
					plain = packed
					continue
				}
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					b.Fatal(err)
				}
				body, err := io.ReadAll(z)
				if err != nil {
					b.Fatal(err)
				}
				plain = len(body)
			}
			b.ReportMetric(float64(packed), "bytes-sent")
			b.ReportMetric(float64(plain), "bytes-unpacked")
		})
	}
}

// forty gives a host of a fleet forty graphs.
func forty(f *uitest.Fleet, id munin.HostID) {
	own := f.Drawn[id]
	for i := 0; len(f.Drawn[id]) < 40; i++ {
		g := own[i%len(own)]
		if strings.Contains(g.Name, ".") {
			continue
		}
		g.Name += "_" + strconv.Itoa(i)
		g.Title += " " + strconv.Itoa(i)
		f.Drawn[id] = append(f.Drawn[id], g)
	}
}

// BenchmarkPagesInChromium measures, in the browser, from the beginning of the navigation until the page is drawn: its load
// event, and every picture in sight.
func BenchmarkPagesInChromium(b *testing.B) {
	path := testenv.Program(b, "chromium")
	f := uitest.Large(time.Now(), 200)
	forty(f, "rack00;node0001")
	server := httptest.NewServer(newServer(b, f))
	b.Cleanup(server.Close)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.WindowSize(1280, 1000), chromedp.UserDataDir(b.TempDir()))
	b.Cleanup(cancel)
	ctx, cancelPage := chromedp.NewContext(ctx)
	b.Cleanup(cancelPage)
	const done = `(async () => {
		while (performance.getEntriesByType('navigation')[0].loadEventEnd === 0) await new Promise((r) => setTimeout(r, 2));
		const seen = [...document.images].filter((i) => i.getBoundingClientRect().top < innerHeight);
		await Promise.all(seen.map((i) => i.decode().catch(() => {})));
		const pictures = performance.getEntriesByType('resource').filter((e) => e.initiatorType === 'img').map((e) => e.responseEnd);
		await new Promise((r) => requestAnimationFrame(() => setTimeout(r, 0)));
		const nav = performance.getEntriesByType('navigation')[0];
		const end = Math.max(nav.loadEventEnd, ...pictures);
		return [end, end - nav.responseEnd];
	})()`
	for _, page := range []struct{ name, path string }{
		{"host-page-with-40-graphs", "/h/node0001"},
		{"ranking-with-200-sparklines", "/x/load?" + url.Values{"from": {"now-30h"}, "to": {"now"}}.Encode()},
	} {
		b.Run(page.name, func(b *testing.B) {
			total, after := 0.0, 0.0
			for b.Loop() {
				if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+page.path)); err != nil {
					b.Fatal(err)
				}
				ms, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](done, chromedp.EvalAwaitPromise))
				if err != nil {
					b.Fatal(err)
				}
				total += ms[0]
				after += ms[1]
			}
			b.ReportMetric(total/float64(b.N), "ms-until-drawn")
			b.ReportMetric(after/float64(b.N), "ms-after-response")
		})
	}
}
