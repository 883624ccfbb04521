package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"corbie/munin"
)

// Contact is what a munin.conf says of whom to tell: a program that reads a text. Both are templates of munin.Message.
type Contact struct {
	Args []string // the program's absolute path and its arguments
	Text string
}

// addContacts makes receivers of contacts.
func (inv *inventory) addContacts(m *muninConf) {
	c := inv.conf
	r := &reader{findings: inv.findings, name: m.name, flags: c.flags, folder: &folder{dir: "."}}
	for _, name := range slices.Sorted(maps.Keys(m.contacts)) {
		attrs := m.contacts[name]
		command, ok := attrs["command"]
		if !ok {
			if _, text := attrs["text"]; name != "default" || !text {
				inv.warnAt(Place{File: m.name}, "the contact %s has no command: nobody is told", name)
			}
			continue
		}
		if name == "none" {
			r.rejectLine(command, "a contact cannot be called none, which means nobody")
			continue
		}
		if slices.ContainsFunc(c.Receivers, func(rec Receiver) bool { return rec.Name == name }) {
			inv.warnAt(command.at, "the contact %s is a receiver of the configuration already: this one is left out", name)
			continue
		}
		if rec, ok := r.contact(name, command, m); ok {
			c.Receivers = append(c.Receivers, rec)
		}
	}
	inv.checkContacts(m)
}

func (r *reader) contact(name string, command attr, m *muninConf) (Receiver, bool) {
	rec := Receiver{Name: name, Contact: &Contact{}}
	words, err := splitCommand(command.value)
	if err == nil {
		words[0], err = r.folder.program(words[0])
	}
	if err != nil {
		r.rejectLine(command, "contact %s: %v", name, err)
		return rec, false
	}
	if _, err := os.Stat(words[0]); err != nil {
		r.warnAt(command.at, "contact %s: there is no program %s on this machine", name, words[0])
	}
	rec.Contact.Args = words
	for _, a := range []attr{m.contacts[name]["text"], m.contacts["default"]["text"]} {
		if a.value == "" || rec.Contact.Text != "" {
			continue
		}
		text := strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(a.value)
		if _, err := munin.ParseMessage(text); err != nil {
			r.rejectLine(a, "contact %s: text: %v", name, err)
			return rec, false
		}
		rec.Contact.Text = text
	}
	if a, ok := m.contacts[name]["always_send"]; ok {
		r.warnAt(a.at, "contact %s: always_send: a problem that stays open is told again every notify.repeat_every of "+
			"corbie.yml, not at every poll", name)
	}
	if a, ok := m.contacts[name]["max_messages"]; ok {
		r.warnAt(a.at, "contact %s: max_messages: the command is run once for each message", name)
	}
	return rec, true
}

// splitCommand takes a contact's command apart without a shell: words, quotes and backslashes. What only a shell can do
// is an error. Templates are left as they are.
func splitCommand(text string) ([]string, error) {
	p := commandParser{rest: strings.TrimLeft(text, " \t|")}
	for p.rest != "" {
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	p.end()
	for _, word := range p.words {
		if _, err := munin.ParseMessage(word); err != nil {
			return nil, fmt.Errorf("command: %w", err)
		}
	}
	switch {
	case len(p.words) == 0:
		return nil, errors.New("command: it is empty")
	case strings.Contains(p.words[0], "$"), strings.Contains(p.words[0], "="):
		return nil, errors.New("command: it must begin with a program; put what a shell has to do into a script")
	}
	return p.words, nil
}

type commandParser struct {
	rest  string
	words []string
	word  strings.Builder
	open  bool // a word has begun
}

func (p *commandParser) end() {
	if p.open {
		p.words = append(p.words, p.word.String())
	}
	p.word.Reset()
	p.open = false
}

func (p *commandParser) add(text string) {
	p.word.WriteString(text)
	p.open = true
}

func (p *commandParser) next() error {
	c := p.rest[0]
	switch {
	case c == ' ' || c == '\t':
		p.rest = p.rest[1:]
		p.end()
	case c == '$':
		return p.dollar()
	case c == '\'':
		quoted, rest, ok := strings.Cut(p.rest[1:], "'")
		if !ok {
			return errors.New("command: a quote is not closed")
		}
		p.add(quoted)
		p.rest = rest
	case c == '"':
		p.rest = p.rest[1:]
		return p.doubleQuoted()
	case c == '\\' && len(p.rest) > 1:
		p.add(p.rest[1:2])
		p.rest = p.rest[2:]
	case strings.IndexByte("|&;<>()`*?[]!~#{}\\", c) >= 0:
		return fmt.Errorf("command: %q needs a shell, and none is used, so that what a plugin says can never be run; "+
			"put the command into a script and name that", string(c))
	default:
		p.add(p.rest[:1])
		p.rest = p.rest[1:]
	}
	return nil
}

// dollar takes a template as it is.
func (p *commandParser) dollar() error {
	if !strings.HasPrefix(p.rest, "${") {
		return errors.New("command: $ needs a shell, and none is used; only Munin's own ${var:…} and the like are filled in")
	}
	depth := 0
	for i := range len(p.rest) {
		switch p.rest[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				p.add(p.rest[:i+1])
				p.rest = p.rest[i+1:]
				return nil
			}
		}
	}
	return errors.New("command: a ${ is not closed")
}

func (p *commandParser) doubleQuoted() error {
	p.open = true
	for p.rest != "" {
		c := p.rest[0]
		switch {
		case c == '"':
			p.rest = p.rest[1:]
			return nil
		case c == '$':
			if err := p.dollar(); err != nil {
				return err
			}
		case c == '`':
			return errors.New("command: ` needs a shell, and none is used; put the command into a script and name that")
		case c == '\\' && len(p.rest) > 1 && strings.IndexByte("\"\\$`", p.rest[1]) >= 0:
			p.add(p.rest[1:2])
			p.rest = p.rest[2:]
		default:
			p.add(p.rest[:1])
			p.rest = p.rest[1:]
		}
	}
	return errors.New("command: a quote is not closed")
}

// checkContacts looks for names in "contacts" that nobody has.
func (inv *inventory) checkContacts(m *muninConf) {
	check := func(attrs map[string]attr) {
		a, ok := attrs["contacts"]
		if !ok {
			return
		}
		for _, name := range strings.Fields(a.value) {
			known := slices.ContainsFunc(inv.conf.Receivers, func(r Receiver) bool { return r.Name == name })
			if !known && name != "none" {
				inv.warnAt(a.at, "contacts: there is no contact %q", name)
			}
		}
	}
	check(m.global)
	for _, attrs := range m.groups {
		check(attrs)
	}
	for _, h := range m.hosts {
		check(h.own)
		for _, attrs := range h.services {
			check(attrs)
		}
	}
}

// Tells says whether a receiver is to be told of a problem of a host or field. A receiver of corbie.yml is told of all.
// A contact of munin.conf is told where contacts names it, at the field, graph, host, group or top, the nearest first, and
// where nothing does.
func (c *Config) Tells(r *Receiver, id munin.SeriesID) bool {
	if r.Contact == nil || c.munin == nil {
		return true
	}
	h := c.munin.hosts[id.Host]
	if h == nil {
		h = &muninHost{}
	}
	places := []map[string]attr{h.services[id.Graph+"."+id.Field]}
	near, far := c.munin.chain(id.Host, h, id.Graph, true)
	a, ok := nearestOf(append(append(places, near...), far...), "contacts")
	return !ok || slices.Contains(strings.Fields(a.value), r.Name)
}
