package ui_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"

	"corbie/munin"
	"corbie/ui/uitest"
)

// clerk sends forms as a browser that was given them, and documents as a program.
type clerk struct {
	fleet   *uitest.Fleet
	server  http.Handler
	cookies []*http.Cookie
	token   string
}

func newClerk(tb testing.TB) *clerk {
	tb.Helper()
	c := &clerk{fleet: uitest.New(time.Now())}
	c.server = newServer(tb, c.fleet)
	first := visit(tb, c.server, "/views")
	_, rest, _ := strings.Cut(first.Body.String(), `name="token" value="`)
	c.token, _, _ = strings.Cut(rest, `"`)
	if c.cookies = first.Result().Cookies(); c.token == "" || len(c.cookies) == 0 {
		tb.Fatal("the page of views has no form")
	}
	return c
}

// send posts and wants an answer that fails nobody and leads nowhere else.
func (c *clerk) send(tb testing.TB, path, kind, body string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	for _, one := range c.cookies {
		r.AddCookie(one)
	}
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	location := w.Header().Get("Location")
	switch {
	case w.Code >= http.StatusInternalServerError:
		tb.Fatalf("%s %q: status %d: %.300s", path, body, w.Code, w.Body)
	case location != "" && (!strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//") || strings.ContainsFunc(location, unicode.IsControl)):
		tb.Fatalf("%s %q sends the reader to %q", path, body, location)
	case w.Code == http.StatusForbidden || w.Code == http.StatusMethodNotAllowed:
		tb.Fatalf("%s %q: the form was not taken: %.300s", path, body, w.Body)
	}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		checkMarkup(tb, path, w.Body.Bytes())
	}
	return w
}

func (c *clerk) form(tb testing.TB, path string, pairs ...string) *httptest.ResponseRecorder {
	tb.Helper()
	form := url.Values{"token": {c.token}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return c.send(tb, path, "application/x-www-form-urlencoded", form.Encode())
}

// reads wants pages to stand.
func (c *clerk) reads(tb testing.TB, paths ...string) {
	tb.Helper()
	for _, path := range paths {
		w := visit(tb, c.server, path)
		if w.Code != http.StatusOK {
			tb.Fatalf("%s: status %d: %.300s", path, w.Code, w.Body)
		}
		switch kind := w.Header().Get("Content-Type"); {
		case strings.HasPrefix(kind, "text/html"):
			checkMarkup(tb, path, w.Body.Bytes())
		case strings.HasPrefix(kind, "image/svg"):
			checkXML(tb, w.Body.Bytes())
		}
	}
}

// tidy wants texts that are short and printable.
func tidy(tb testing.TB, most int, texts ...string) {
	tb.Helper()
	for _, text := range texts {
		if len(text) > most || munin.CleanText(text) != text {
			tb.Fatalf("this was stored: %q (%d bytes)", text, len(text))
		}
	}
}

// checkNotes looks at the annotations that were added, and takes them back; found says that there were some.
func (c *clerk) checkNotes(tb testing.TB, body string) (found bool) {
	tb.Helper()
	always := munin.Range{From: time.Unix(0, 0), To: c.fleet.Now.Add(200 * 365 * 24 * time.Hour)}
	all, err := c.fleet.Annotations(tb.Context(), always)
	if err != nil {
		tb.Fatal(err)
	}
	for _, a := range all {
		if a.ID <= seededNotes {
			continue
		}
		tidy(tb, munin.MaxAnnotationText, a.Text, a.By, string(a.Where), a.Graph, a.Field)
		if a.Text == "" || a.From.IsZero() || !a.To.IsZero() && a.To.Before(a.From) {
			tb.Fatalf("%q was stored as %+v", body, a)
		}
		if _, err := json.Marshal(a); err != nil {
			tb.Fatalf("%q: %v", body, err)
		}
		if err := c.fleet.RemoveAnnotation(tb.Context(), a.ID); err != nil {
			tb.Fatal(err)
		}
		found = true
	}
	return found
}

// seededNotes is how many annotations the fleet begins with.
const seededNotes = 7

// FuzzAnnotations sends forms and documents.
func FuzzAnnotations(f *testing.F) {
	for _, seed := range [][6]string{
		{"deploy", "shop 1.5", "14:05", "", "shop", "load"},
		{"maintenance", "new switch", "2026-03-04 10:00", "2026-03-04 12:00", "shop;web1.example.com", ""},
		{"", "</script><script>alert(1)</script>", "now-1h", "now", "", "a\x00b\n"},
		{"transition", "x", "-1", "99999999999999", "nobody", "../.."},
		{"note", strings.Repeat("ä", 3000), "1e300", "9223372036854775807", "web1.example.com", "\u202e"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], "")
	}
	f.Add("", "", "", "", "", "", `{"text": "by a script", "at": 1700000000, "until": 1e300, "kind": ["deploy"], "where": null}`)
	f.Add("", "", "", "", "", "", `{"text": "x", "at": 253402300800}`)
	c := newClerk(f)
	f.Fuzz(func(t *testing.T, kind, text, at, until, where, graph, document string) {
		var answer *httptest.ResponseRecorder
		if document != "" {
			answer = c.send(t, "/api/annotations", "application/json", document)
		} else {
			answer = c.form(t, "/changes", "kind", kind, "text", text, "at", at, "until", until, "where", where, "graph", graph, "back", where)
		}
		c.reads(t, "/changes", "/api/annotations?from=now-1d")
		if stored := c.checkNotes(t, text+document); stored != (answer.Code == http.StatusSeeOther || answer.Code == http.StatusCreated) {
			t.Fatalf("%q: status %d, stored: %v", text+document, answer.Code, stored)
		}
		c.form(t, "/changes", "remove", at)
	})
}

// FuzzViews stores views of any name, range and graphs.
func FuzzViews(f *testing.F) {
	f.Add("night", "Night shift", "now-30h", "", "shop;web2.example.com/cpu\nfiles.example.com/df", "")
	f.Add("", "</title><script>", "now-1h", "now", "files.example.com/../../x\r\n\x00/y", "night")
	f.Add("../x", "x", "yesterday", "-5", "nobody/cpu", "")
	f.Add("a", strings.Repeat("title ", 500), "1", "2", strings.Repeat("files.example.com/cpu\n", 201), "a")
	f.Add("", "日本", "", "", "files.example.com/\u202ecpu", "")
	c := newClerk(f)
	f.Fuzz(func(t *testing.T, name, title, from, to, items, add string) {
		if w := c.form(t, "/views", "name", "kept", "title", "Kept", "items", "files.example.com/cpu"); w.Code != http.StatusSeeOther {
			t.Fatalf("a view is refused: %d: %.300s", w.Code, w.Body)
		}
		c.form(t, "/views", "name", name, "title", title, "from", from, "to", to, "items", items, "add", add, "by", title)
		views, err := c.fleet.Views(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			tidy(t, 4000, v.Name, v.Title, v.By, v.From, v.To)
			if len(v.Items) == 0 || len(v.Items) > munin.MaxSavedItems || v.Name != url.PathEscape(v.Name) {
				t.Fatalf("stored as %q with %d graphs", v.Name, len(v.Items))
			}
			for _, item := range v.Items {
				tidy(t, munin.MaxAnnotationText, string(item.Host), item.Graph)
			}
			c.reads(t, "/v/"+v.Name)
		}
		c.reads(t, "/views", "/kiosk?n=1")
		for _, v := range views {
			c.form(t, "/views", "remove", v.Name)
		}
		c.form(t, "/views", "remove", name)
	})
}

// FuzzAcknowledgements acknowledges anything, in any words.
func FuzzAcknowledgements(f *testing.F) {
	f.Add("office;files.example.com", "df", "_dev_sdb1", "", "4h", "ann", "on it", "/problems")
	f.Add("office;files.example.com", "df", "_dev_sdb1", "", "99999999y", "\x00", "</td><script>", "//evil.example/")
	f.Add("office;files.example.com", "df", "_dev_sdb1", "", "-1h", "", strings.Repeat("x", 9000), "/\\evil.example")
	f.Add("nobody", "", "", "a", "", "", "", "javascript:alert(1)")
	c := newClerk(f)
	f.Fuzz(func(t *testing.T, host, graph, field, problem, until, by, comment, back string) {
		t.Cleanup(func() {
			_ = c.fleet.Unacknowledge(context.Background(), munin.SeriesID{Host: munin.HostID(host), Graph: graph, Field: field})
		})
		answer := c.form(t, "/problems/ack", "host", host, "graph", graph, "field", field, "problem", problem, "for", until, "by", by, "comment", comment, "back", back)
		acks, err := c.fleet.Acks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if (len(acks) == 1) != (answer.Code == http.StatusSeeOther) {
			t.Fatalf("status %d, %d are stored", answer.Code, len(acks))
		}
		for _, a := range acks {
			tidy(t, munin.MaxAnnotationText, a.By, a.Comment)
			if a.ID != (munin.SeriesID{Host: munin.HostID(host), Graph: graph, Field: field}) || a.By == "" || !a.Until.IsZero() && !a.Until.After(a.At) {
				t.Fatalf("stored as %+v", a)
			}
		}
		c.reads(t, "/problems")
		c.form(t, "/problems/ack", "host", host, "graph", graph, "field", field, "undo", "1", "back", back)
		if acks, err = c.fleet.Acks(t.Context()); err != nil || len(acks) > 0 {
			t.Fatalf("%d are left: %v", len(acks), err)
		}
	})
}
