package route

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"corbie/munin"
)

// Picture draws the graph of a problem as it is now, as a PNG. It heeds ctx.
type Picture func(ctx context.Context, id munin.SeriesID) ([]byte, error)

const (
	// pictureTime is how long all pictures of a mail may take together.
	pictureTime = 5 * time.Second
	// maxPictures is how many a mail has at most, each of at most maxPictureBytes.
	maxPictures     = 4
	maxPictureBytes = 200_000
)

// drawn is a picture in a mail.
type drawn struct {
	id   munin.SeriesID // of the first problem of the graph
	cid  string         // Content-ID, without its brackets
	file string
	png  []byte
}

// artist draws for mails. What it cannot draw is left out and logged: no mail waits for a picture.
type artist struct {
	draw  Picture
	limit time.Duration
	log   *slog.Logger
}

func newArtist(options Options) *artist {
	if options.Picture == nil {
		return nil
	}
	a := &artist{draw: options.Picture, limit: options.PictureTime, log: options.Logger}
	if a.limit <= 0 {
		a.limit = pictureTime
	}
	return a
}

// pictures draws the graphs that a message is about, once for all attempts to deliver it. A nil artist draws nothing.
func (a *artist) pictures(ctx context.Context, m *message) []drawn {
	if a == nil || m.drawn != nil {
		return m.drawn
	}
	m.drawn = []drawn{}
	ctx, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	for _, id := range m.pictured() {
		on := pictured(id)
		png, err := a.one(ctx, on)
		if err != nil {
			a.log.Warn("a notice has no picture of its graph", "host", string(on.Host), "graph", on.Graph, "err", err)
			continue
		}
		m.drawn = append(m.drawn, drawn{
			id: id, cid: strconv.Itoa(len(m.drawn)+1) + "." + m.id, png: png,
			file: munin.SanitisePlugin(on.Host.Name()+"-"+strings.ReplaceAll(on.Graph, ".", "-")) + ".png",
		})
	}
	return m.drawn
}

// one draws one picture. A panic in a drawing is an error like any other.
func (a *artist) one(ctx context.Context, id munin.SeriesID) (png []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			png, err = nil, fmt.Errorf("draw: panic: %v", p)
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("draw: %w", err)
	}
	switch png, err = a.draw(ctx, id); {
	case err != nil:
		return nil, err
	case len(png) == 0:
		return nil, errors.New("the picture is empty")
	case len(png) > maxPictureBytes:
		return nil, fmt.Errorf("the picture has %d bytes, a mail takes at most %d", len(png), maxPictureBytes)
	}
	return png, nil
}

// pictured is the graph that shows a problem: that of a field, or the one that a rule is about.
func pictured(id munin.SeriesID) munin.SeriesID {
	on, _ := munin.RuleOn(id)
	return on
}

// pictured are the first problems, one of each graph, of what is told: of what changed, or of what is still open in a reminder. The alert of a
// rule is on the graph that its labels name, if any.
func (m *message) pictured() []munin.SeriesID {
	items := m.plan.changed
	if len(items) == 0 {
		items = m.plan.open
	}
	var ids []munin.SeriesID
	for _, it := range items {
		id := it.notice.State.ID
		on := pictured(id)
		same := func(other munin.SeriesID) bool {
			return pictured(other).Host == on.Host && pictured(other).Graph == on.Graph
		}
		if _, none := munin.RuleName(on.Graph); id.Graph == "" || none || slices.ContainsFunc(ids, same) {
			continue
		}
		if ids = append(ids, id); len(ids) == maxPictures {
			break
		}
	}
	return ids
}

// pictureOf is the address within the mail of the picture that stands beside a problem; empty: there is none.
func (m *message) pictureOf(id munin.SeriesID) template.URL {
	for i := range m.drawn {
		if m.drawn[i].id == id {
			return template.URL("cid:" + m.drawn[i].cid) //nolint:gosec // a number, a hash and the name of this machine
		}
	}
	return ""
}

// embed puts the pictures beside the HTML that shows them.
func embed(letter *mail.Msg, pictures []drawn) error {
	for i := range pictures {
		p := &pictures[i]
		err := letter.EmbedReader(p.file, strings.NewReader(string(p.png)), mail.WithFileContentID("<"+p.cid+">"),
			mail.WithFileContentType("image/png"))
		if err != nil {
			return fmt.Errorf("picture %s: %w", p.file, err)
		}
	}
	return nil
}
