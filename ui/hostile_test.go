package ui_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"corbie/munin"
	"corbie/ui/uitest"
)

// hostileTexts are what a host might say to reach further than its graph.
func hostileTexts() []string {
	return []string{
		`</title></script><script>alert(1)</script>`,
		`__f__alert(1)__f__`,
		`"><img src=x onerror=alert(1)>`,
		`' onmouseover='alert(1)`,
		`javascript:alert(1)`,
		`{{.Version}} ${7*7} <%= 1 %>`,
		"\u202eevil\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
		"\U0001f4a9\U0001f468\u200d\U0001f469\u200d\U0001f467",
		`]]><!-- --!><svg onload=alert(1)>`,
		strings.Repeat("a<b>&", 2000),
		`../../../etc/passwd`,
		`;;;`,
	}
}

// hostileFleet has one host whose every text is hostile.
func hostileFleet(text string) *uitest.Fleet {
	f := uitest.New(time.Now())
	h := munin.Host{
		ID: hostileHost(text), Address: text, Interval: uitest.Interval, FirstSeen: f.Now.Add(-1000 * time.Hour),
		LastAnswer: f.Now.Add(-time.Hour), LastTried: f.Now, LastError: text, Banner: text,
	}
	f.Known = append(f.Known, h)
	f.Drawn[h.ID] = []munin.Graph{{
		Plugin: text, Name: "bad", Title: text, VLabel: text, Category: text, Info: text, Args: text, Total: text, Period: "second",
		Fields: []munin.Field{
			{Name: "a", Label: text, Info: text, CDEF: text, Colour: text, Line: "5:" + text},
			{Name: "b", Label: text, Info: text, Colour: text, Line: "5:red:" + text, Negative: text},
			{Name: "c", Label: text, Draw: munin.Draw{Kind: munin.Stack}, Negative: "b"},
		},
	}}
	f.Watched = append(f.Watched, munin.AlertState{
		ID: munin.SeriesID{Host: h.ID, Graph: "bad", Field: "b"}, Level: munin.Critical, Open: munin.Critical, Reason: text,
	})
	f.Broken[h.ID] = []munin.Fault{{Plugin: text, Line: 3, Text: text, Reason: text}}
	f.Capacity.Findings = append(f.Capacity.Findings, munin.Finding{
		ID: munin.SeriesID{Host: h.ID, Graph: "bad", Field: "b"}, Title: text, Label: text, Unit: text, Note: text, Verdict: munin.Verdict(text),
	})
	return f
}

// hostileHost is a name that carries the text as far as names go.
func hostileHost(text string) munin.HostID {
	return munin.HostID("lab;" + text[:min(len(text), 900)])
}

func TestHostileTextsReachNoPageAsMarkup(t *testing.T) {
	for _, text := range hostileTexts() {
		f := hostileFleet(text)
		s := newServer(t, f)
		host := "/h/" + url.PathEscape(string(hostileHost(text)))
		for _, path := range []string{"/", "/problems", "/capacity", "/g/lab", host, host + "/bad"} {
			w := visit(t, s, path)
			if w.Code != http.StatusOK {
				t.Errorf("%.60q: %.80s: status %d", text, path, w.Code)
			}
			if w.Body.Len() > 600_000 {
				t.Errorf("%.60q: %.80s has %d bytes", text, path, w.Body.Len())
			}
			checkMarkup(t, path, w.Body.Bytes())
		}
		svg := visit(t, s, host+"/bad.svg")
		if svg.Code != http.StatusOK || !strings.Contains(svg.Header().Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%.60q: the picture: status %d", text, svg.Code)
		}
		checkXML(t, svg.Body.Bytes())
		for _, path := range []string{"/bad.json", "/bad.json?live=1", "/bad.csv"} {
			w := visit(t, s, host+path)
			if w.Code != http.StatusOK || strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || bytes.Contains(w.Body.Bytes(), []byte("<script")) {
				t.Errorf("%.60q: %s: status %d, %s", text, path, w.Code, w.Header().Get("Content-Type"))
			}
		}
	}
}

// checkMarkup finds what only hostile text could have brought into a page of ours.
func checkMarkup(tb testing.TB, path string, body []byte) {
	tb.Helper()
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		for _, a := range n.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style":
				tb.Errorf("%.80s: <%s %s=%q>", path, n.Data, a.Key, a.Val)
			case (a.Key == "href" || a.Key == "src") && !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "#"):
				tb.Errorf("%.80s: <%s %s=%.80q> leads elsewhere", path, n.Data, a.Key, a.Val)
			case a.Key == "src" && n.Data == "img" && !strings.HasPrefix(value, "/h/"):
				tb.Errorf("%.80s: a picture from %.80q", path, a.Val)
			}
		}
		if n.Data == "script" && n.FirstChild != nil {
			tb.Errorf("%.80s: an inline script %.80q", path, n.FirstChild.Data)
		}
	}
}

func checkXML(tb testing.TB, body []byte) {
	tb.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			tb.Fatalf("not well-formed: %v: %.2000s", err, body)
		}
		if start, ok := token.(xml.StartElement); ok {
			if name := start.Name.Local; name == "script" || name == "foreignObject" || name == "a" || name == "image" {
				tb.Errorf("the picture holds <%s>", name)
			}
			for _, a := range start.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Name.Local, "href") {
					tb.Errorf("the picture has %s=%q", a.Name.Local, a.Value)
				}
			}
		}
	}
}

// FuzzAddresses asks for any path and query: no answer may be a failure of the server, and no page may be broken
// by it.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{
		"/", "/h/files.example.com/cpu?from=now-1h&to=now", "/h/web1.example.com/cpu.svg?w=300&h=200&theme=dark&bare=1", "/h/%00/%2e%2e",
		"/h/a%2Fb/c.csv?step=0.0000001s&from=-1", "/g/%3Cscript%3E", "/shop/web1.example.com/x-day.png", "//evil.example/", "/h/files.example.com/.svg",
		"/h/files.example.com/df.json?live=1&from=68000000000&to=68000000001", "/static/x/..%2f..%2fui.go", "/h/files.example.com/cpu.csv?from=now-90y&to=now",
	} {
		f.Add(seed)
	}
	s := newServer(f, uitest.New(time.Now()))
	f.Fuzz(func(t *testing.T, target string) {
		parsed, err := url.ParseRequestURI(target)
		if err != nil || parsed.Host != "" || len(target) > 4000 {
			t.Skip("no server would be asked for this")
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = parsed
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Fatalf("%q: status %d: %.300s", target, w.Code, w.Body)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") && w.Code < 300 {
			checkMarkup(t, target, w.Body.Bytes())
		}
		if location := w.Header().Get("Location"); location != "" && (!strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//")) {
			t.Fatalf("%q sends the reader to %q", target, location)
		}
	})
}
