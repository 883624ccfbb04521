package ui_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"corbie/munin"
	"corbie/ui/access"
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

// TestHostileTextsReachNoOtherPage is the same for every kind of page, with texts that came from people, browsers and programs, too.
func TestHostileTextsReachNoOtherPage(t *testing.T) {
	for _, text := range hostileTexts() {
		h := newHouse(t, func(s *access.Settings) { s.OIDC = &access.OIDC{Issuer: "https://login.example.com", Client: "corbie"} })
		*h.fleet = *hostileFleet(text)
		h.fleet.Known = slices.DeleteFunc(h.fleet.Known, func(one munin.Host) bool { return one.ID != hostileHost(text) })
		planted(t, h, text)
		host := hostileHost(text)
		pages := append(pagesOf(t, h.fleet), "/account", "/audit", "/login?next="+url.QueryEscape("/"+text), "/v/night", "/kiosk?v=night",
			"/search?q="+url.QueryEscape(text), "/missing?plugin="+url.QueryEscape(text), "/inventory?tag="+url.QueryEscape(text), "/x/"+url.PathEscape(clipped(text)),
			"/c/"+url.PathEscape(clipped(text)), "/h/"+url.PathEscape(clipped(text)), "/h/"+url.PathEscape(string(host))+"/bad?from="+url.QueryEscape(text),
			"/h/"+url.PathEscape(string(host))+"/bad?from=now-1d&compare=week")
		cookie := h.signIn(t, "alice", "wonderland", "User-Agent", clipped(text))
		for _, path := range pages {
			answer := h.send(t, http.MethodGet, path, "", "Cookie", cookie, "Accept", "text/html", "User-Agent", clipped(text))
			body := []byte(readAll(t, answer))
			if answer.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%.60q: %.80s: %s", text, path, answer.Status)
			}
			switch kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";"); kind {
			case "text/html":
				checkMarkup(t, path, body)
			case "application/atom+xml":
				checkFeed(t, body)
			case "application/json", "text/csv", "text/plain", "":
				if answer.Header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%.80s: a browser may take it for something else", path)
				}
			default:
				t.Errorf("%.80s is %s", path, kind)
			}
		}
		answer := h.send(t, http.MethodPost, "/login", url.Values{"name": {text}, "password": {text}, "next": {text}}.Encode(), "Accept", "text/html")
		checkMarkup(t, "a name that is not known", []byte(readAll(t, answer)))
	}
}

// checkFeed finds links that lead elsewhere, and elements that no feed has.
func checkFeed(tb testing.TB, body []byte) {
	tb.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			tb.Fatalf("the feed is not well-formed: %v", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Space != "http://www.w3.org/2005/Atom" {
			tb.Errorf("the feed has <%s>", start.Name.Local)
		}
		for _, a := range start.Attr {
			if a.Name.Local == "href" && !strings.HasPrefix(a.Value, "http://example.com/") {
				tb.Errorf("the feed leads to %.80q", a.Value)
			}
		}
	}
}

// clipped is as much of a text as an address or a header holds.
func clipped(text string) string { return strings.ToValidUTF8(text[:min(len(text), 900)], "") }

// planted puts a text wherever people, browsers and programs can write.
func planted(tb testing.TB, h *house, text string) {
	tb.Helper()
	host := hostileHost(text)
	short := strings.ToValidUTF8(text[:min(len(text), 300)], "")
	id := munin.SeriesID{Host: host, Graph: "bad", Field: "b"}
	ctx := tb.Context()
	now := time.Now()
	// Some of it is refused where it comes in; what is not has to be shown well.
	_ = h.fleet.Annotate(ctx, munin.Annotation{Kind: munin.Deploy, From: now.Add(-time.Hour), Text: short, By: short, Where: host, Graph: short, Field: short})
	_ = h.fleet.Annotate(ctx, munin.Annotation{Kind: munin.AnnotationKind(short), From: now.Add(-2 * time.Hour), To: now, Text: short, By: short})
	_ = h.fleet.Acknowledge(ctx, munin.Ack{ID: id, Level: munin.Critical, At: now, By: short, Comment: short})
	_ = h.fleet.SaveView(ctx, munin.SavedView{Name: "night", Title: short, By: short, Items: []munin.SavedItem{{Host: host, Graph: "bad"}, {Host: munin.HostID(short), Graph: short}}})
	for _, err := range []error{
		h.doors.LogChange(ctx, munin.Change{At: now, Who: text, Method: text, Address: text, Action: text, Detail: text}),
		h.doors.SaveSession(ctx, munin.Session{ID: text, Person: text, Method: text, Began: now, Seen: now, Ends: now.Add(time.Hour), Address: text, Agent: text}),
	} {
		if err != nil {
			tb.Fatal(err)
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
			case a.Key == "src" && n.Data == "img" && !strings.HasPrefix(value, "/h/") && !strings.HasPrefix(value, "/x/"):
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
