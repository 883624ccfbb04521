package route_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/alerts"
	"corbie/alerts/route"
	"corbie/munin"
)

// part is a leaf of a mail.
type part struct {
	kind   string // "text/html"
	under  string // the kinds around it
	header textproto.MIMEHeader
	body   []byte
}

// parts takes a mail apart.
func parts(t *testing.T, header textproto.MIMEHeader, body io.Reader, under string) []part {
	t.Helper()
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		var all []part
		for in := multipart.NewReader(body, params["boundary"]); ; {
			p, err := in.NextRawPart()
			if errors.Is(err, io.EOF) {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, parts(t, p.Header, p, under+kind+" ")...)
		}
	}
	switch header.Get("Content-Transfer-Encoding") {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return []part{{kind, under, header, text}}
}

// nextParts waits for a mail and takes it apart: its HTML, and its pictures.
func (s *smtpServer) nextParts(t *testing.T) (html string, pictures []part) {
	t.Helper()
	m := receive(t, s.mails, "mail")
	plain := false
	for _, p := range parts(t, textproto.MIMEHeader(m.msg.Header), m.msg.Body, "") {
		switch p.kind {
		case "text/plain":
			plain = strings.Contains(string(p.body), "CRITICAL") || strings.Contains(string(p.body), "OK")
		case "text/html":
			html = string(p.body)
		default:
			pictures = append(pictures, p)
		}
	}
	if !plain || html == "" {
		t.Errorf("the mail lacks one of its texts:\n%s", m.raw)
	}
	return html, pictures
}

// gallery draws, and remembers what it was asked for.
type gallery struct {
	mu    sync.Mutex
	asked []string
	draw  func(ctx context.Context, id munin.SeriesID) ([]byte, error)
}

func (g *gallery) picture(ctx context.Context, id munin.SeriesID) ([]byte, error) {
	g.mu.Lock()
	g.asked = append(g.asked, id.String())
	g.mu.Unlock()
	if g.draw != nil {
		return g.draw(ctx, id)
	}
	return realPNG(len(id.Graph))
}

func (g *gallery) questions() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.asked)
}

func realPNG(width int) ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, 10)))
	return b.Bytes(), err
}

// illustrated is a router whose mails have pictures.
func illustrated(t *testing.T, smtp *smtpServer, g *gallery, change func(o *route.Options)) *router {
	t.Helper()
	r := start(t, t.TempDir(), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port(), Pictures: true,
	}})
	r.stop()
	r.opts.Picture = g.picture
	if change != nil {
		change(&r.opts)
	}
	r.run()
	return r
}

func TestAMailShowsTheGraph(t *testing.T) {
	smtp, g := newSMTP(t), &gallery{}
	r := illustrated(t, smtp, g, nil)
	x := newThing("web;www1", "df", "root")
	for _, value := range []float64{99, 1} {
		r.tell(x.is(value))
		html, pictures := smtp.nextParts(t)
		if len(pictures) != 1 {
			t.Fatalf("%d pictures", len(pictures))
		}
		p := pictures[0]
		if img, err := png.Decode(bytes.NewReader(p.body)); err != nil || img.Bounds().Dx() != len("df") {
			t.Errorf("the picture: %v, %v", img, err)
		}
		if p.kind != "image/png" || p.under != "multipart/related " || !strings.Contains(p.header.Get("Content-Disposition"), `inline; filename="www1_df.png"`) {
			t.Errorf("the picture is %s in %q: %v", p.kind, p.under, p.header)
		}
		cid := strings.Trim(p.header.Get("Content-Id"), "<>")
		if want := `<img src="cid:` + cid + `" alt="The graph Disk usage of www1"`; cid == "" || strings.Count(html, want) != 1 {
			t.Errorf("want %s in\n%s", want, html)
		}
	}
	if got := g.questions(); !slices.Equal(got, []string{x.state.ID.String(), x.state.ID.String()}) {
		t.Errorf("asked for %q", got)
	}
}

func TestAMailHasFewPicturesAndOneOfEachGraph(t *testing.T) {
	smtp, g := newSMTP(t), &gallery{}
	r := illustrated(t, smtp, g, func(o *route.Options) { o.GroupBy, o.Wait = []string{"host"}, 300*time.Millisecond })
	var all []*thing
	for i := range 6 {
		all = append(all, newThing("www1", fmt.Sprintf("graph%d", i), "a"), newThing("www1", fmt.Sprintf("graph%d", i), "b"))
	}
	var notices []alerts.Notice
	for _, x := range append(all, newThing("www1", "", "")) {
		notices = append(notices, x.is(99))
	}
	r.tell(notices...)
	html, pictures := smtp.nextParts(t)
	if len(pictures) != 4 || strings.Count(html, "<img ") != 4 {
		t.Errorf("%d pictures, %d shown", len(pictures), strings.Count(html, "<img "))
	}
	graphs := make(map[string]bool)
	for _, p := range pictures {
		graphs[p.header.Get("Content-Disposition")] = true
	}
	if len(graphs) != 4 {
		t.Errorf("graphs %v", graphs)
	}
}

func TestNoMailWaitsForAPicture(t *testing.T) {
	for name, draw := range map[string]func(ctx context.Context, id munin.SeriesID) ([]byte, error){
		"it fails":       func(context.Context, munin.SeriesID) ([]byte, error) { return nil, errors.New("no paint") },
		"it is nothing":  func(context.Context, munin.SeriesID) ([]byte, error) { return nil, nil },
		"it is huge":     func(context.Context, munin.SeriesID) ([]byte, error) { return make([]byte, 200_001), nil },
		"it panics":      func(context.Context, munin.SeriesID) ([]byte, error) { panic("spilt") },
		"it never comes": func(ctx context.Context, _ munin.SeriesID) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			smtp := newSMTP(t)
			r := illustrated(t, smtp, &gallery{draw: draw}, func(o *route.Options) { o.PictureTime = 30 * time.Millisecond })
			r.tell(newThing("www1", "df", "root").is(99))
			if html, pictures := smtp.nextParts(t); len(pictures) > 0 || strings.Contains(html, "<img") {
				t.Errorf("the mail has %d pictures:\n%s", len(pictures), html)
			}
			if !strings.Contains(r.log.String(), "a notice has no picture of its graph") {
				t.Errorf("the log does not say it:\n%s", r.log)
			}
		})
	}
}

func TestPicturesAreDrawnOnceForAllAttempts(t *testing.T) {
	smtp, g := newSMTP(t), &gallery{}
	smtp.refuse = []string{"451 later", "451 later"}
	r := illustrated(t, smtp, g, nil)
	r.tell(newThing("www1", "df", "root").is(99))
	if _, pictures := smtp.nextParts(t); len(pictures) != 1 || len(g.questions()) != 1 {
		t.Errorf("%d pictures, asked %d times", len(pictures), len(g.questions()))
	}
}

func TestPicturesCanBeSwitchedOff(t *testing.T) {
	smtp, g := newSMTP(t), &gallery{}
	r := illustrated(t, smtp, g, func(o *route.Options) { o.Receivers[0].Email.Pictures = false })
	r.tell(newThing("www1", "df", "root").is(99))
	if html, pictures := smtp.nextParts(t); len(pictures) > 0 || strings.Contains(html, "<img") || len(g.questions()) > 0 {
		t.Errorf("%d pictures, asked for %q:\n%s", len(pictures), g.questions(), html)
	}
}
