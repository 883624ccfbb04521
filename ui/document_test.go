package ui_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"

	"corbie/ui/uitest"
)

// visit asks for one address and gives back the whole answer.
func visit(tb testing.TB, s http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// document is a parsed page that is asked by selectors.
type document struct {
	t    testing.TB
	root *html.Node
}

func open(tb testing.TB, s http.Handler, target string, status int) document {
	tb.Helper()
	w := visit(tb, s, target)
	if w.Code != status {
		tb.Fatalf("%s: status %d, want %d: %.500s", target, w.Code, status, w.Body)
	}
	root, err := html.Parse(w.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return document{tb, root}
}

func (d document) all(selector string) []*html.Node {
	d.t.Helper()
	matcher, err := cascadia.ParseGroup(selector)
	if err != nil {
		d.t.Fatalf("selector %q: %v", selector, err)
	}
	return cascadia.QueryAll(d.root, matcher)
}

// texts are the texts of what a selector finds, with single blanks.
func (d document) texts(selector string) []string {
	d.t.Helper()
	var out []string
	for _, n := range d.all(selector) {
		var b strings.Builder
		for c := range n.Descendants() {
			if c.Type == html.TextNode {
				b.WriteString(c.Data)
			} else if c.Data == "td" || c.Data == "th" {
				b.WriteByte(' ')
			}
		}
		out = append(out, strings.Join(strings.Fields(b.String()), " "))
	}
	return out
}

func (d document) has(selector, text string) {
	d.t.Helper()
	all := d.texts(selector)
	for _, got := range all {
		if strings.Contains(got, text) {
			return
		}
	}
	d.t.Errorf("no %q says %q; they say %q", selector, text, all)
}

func (d document) attribute(selector, name string) []string {
	d.t.Helper()
	var out []string
	for _, n := range d.all(selector) {
		for _, a := range n.Attr {
			if a.Key == name {
				out = append(out, a.Val)
			}
		}
	}
	return out
}

func (d document) hasAttribute(selector, name, want string) {
	d.t.Helper()
	all := d.attribute(selector, name)
	for _, got := range all {
		if got == want {
			return
		}
	}
	d.t.Errorf("no %q has %s=%q; they have %q", selector, name, want, all)
}

// readAll is the body of an answer.
func readAll(tb testing.TB, answer *http.Response) string {
	tb.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(body)
}

// pagesOf are the addresses of every kind of page, with all hosts and graphs of a fleet.
func pagesOf(tb testing.TB, f *uitest.Fleet) []string {
	tb.Helper()
	pages := []string{
		"/", "/problems", "/capacity", "/capacity.csv", "/changes", "/inventory", "/inventory.csv", "/missing", "/views", "/kiosk", "/keys", "/feed.atom",
		"/search?q=e", "/search.json?q=e", "/search?q=df", "/api/annotations",
	}
	hosts, err := f.Hosts(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	seen := make(map[string]bool)
	add := func(path string) {
		if !seen[path] {
			seen[path] = true
			pages = append(pages, path)
		}
	}
	for _, h := range hosts {
		host := "/h/" + url.PathEscape(string(h.ID))
		add(host)
		if h.ID.Group() != "" {
			add("/g/" + url.PathEscape(h.ID.Group()))
		}
		graphs, err := f.Graphs(tb.Context(), h.ID)
		if err != nil {
			tb.Fatal(err)
		}
		for i := range graphs {
			add("/c/" + url.PathEscape(graphs[i].Category))
			add("/x/" + url.PathEscape(graphs[i].Name))
			if i == 0 {
				add(host + "/" + url.PathEscape(graphs[i].Name))
			}
		}
	}
	return pages
}
