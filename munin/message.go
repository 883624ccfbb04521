package munin

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits of message templates and of what they become.
const (
	maxMessageBytes = 64 << 10 // of a template
	maxMessageDepth = 20
	maxExpanded     = 256 << 10
)

// Message is a text in the language of Munin's contacts, compiled:
//
//	${var:NAME}              the value of NAME here or, where it is not known, further out
//	${if:NAME text}          text, where NAME is neither empty nor 0; with "!" before NAME, where it is
//	${loop<SEP>:LIST text}   text for each of the names in LIST, each in its own scope, with SEP between; or without <SEP>
//	${strtrunc:N text}       the first N characters of text
//
// Texts may hold any of these again. A "$" that does not begin one stands for itself.
type Message struct{ parts []messagePart }

type messagePart struct {
	kind  messageKind
	name  string // of the variable; literal text
	not   bool
	most  int
	inner []messagePart
}

type messageKind int

const (
	messageText messageKind = iota
	messageVar
	messageIf
	messageLoop
	messageCut
)

// Scope is what the names of a message stand for: variables, and a scope for each name that a loop can meet. The latter
// see what is outside of them, too.
type Scope struct {
	Vars   map[string]string
	Within map[string]Scope
}

// ParseMessage compiles a template. It fails on a brace that is not closed, on what the language does not have, and on
// what is far too large.
func ParseMessage(text string) (*Message, error) {
	if len(text) > maxMessageBytes {
		return nil, fmt.Errorf("the template is longer than %d bytes", maxMessageBytes)
	}
	parts, err := parseMessage(text, 0)
	if err != nil {
		return nil, err
	}
	return &Message{parts}, nil
}

func parseMessage(text string, depth int) ([]messagePart, error) {
	if depth > maxMessageDepth {
		return nil, fmt.Errorf("the template is nested more than %d deep", maxMessageDepth)
	}
	var parts []messagePart
	literal := func(s string) {
		if s != "" {
			parts = append(parts, messagePart{name: s})
		}
	}
	for text != "" {
		i := strings.Index(text, "${")
		if i < 0 {
			literal(text)
			break
		}
		literal(text[:i])
		end := closingBrace(text[i+1:])
		if end < 0 {
			return nil, fmt.Errorf("%q is not closed by a brace", excerpt(text[i:]))
		}
		part, err := parseConstruct(text[i+2:i+1+end], depth)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		text = text[i+1+end+1:]
	}
	return parts, nil
}

// closingBrace is where the brace closes with which the text begins, or -1.
func closingBrace(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func parseConstruct(inner string, depth int) (messagePart, error) {
	word, rest, ok := strings.Cut(inner, ":")
	if !ok {
		return messagePart{}, fmt.Errorf("${%s}: want one of var, if, loop and strtrunc, and a colon", excerpt(inner))
	}
	if word == "var" {
		if name := strings.TrimSpace(rest); name != "" && !strings.ContainsAny(name, " \t{}$") {
			return messagePart{kind: messageVar, name: name}, nil
		}
		return messagePart{}, fmt.Errorf("${%s}: want one name behind the colon", excerpt(inner))
	}
	part := messagePart{}
	switch {
	case word == "if":
		part.kind = messageIf
	case word == "strtrunc":
		part.kind = messageCut
	case word == "loop":
		part.kind = messageLoop
	case strings.HasPrefix(inner, "loop<"):
		separator, behind, closed := strings.Cut(strings.TrimPrefix(inner, "loop<"), ">:")
		if !closed {
			return part, fmt.Errorf("${%s}: want ${loop<separator>:list text}", excerpt(inner))
		}
		part.kind, part.name, rest = messageLoop, separator, behind
	default:
		return part, fmt.Errorf("${%s}: want one of var, if, loop and strtrunc, and a colon", excerpt(inner))
	}
	rest = strings.TrimLeft(rest, " \t")
	i := strings.IndexAny(rest, " \t")
	if i < 1 {
		return part, fmt.Errorf("${%s}: there is no text behind the name", excerpt(inner))
	}
	return part.complete(rest[:i], rest[i+1:], depth)
}

// complete adds the first word of a construct and its text.
func (p messagePart) complete(word, text string, depth int) (messagePart, error) {
	var err error
	if p.inner, err = parseMessage(text, depth+1); err != nil {
		return p, err
	}
	switch p.kind {
	case messageIf:
		p.name, p.not = strings.TrimPrefix(word, "!"), strings.HasPrefix(word, "!")
	case messageCut:
		if p.most, err = strconv.Atoi(word); err != nil || p.most < 0 {
			return p, fmt.Errorf("strtrunc:%s: want a number of characters", excerpt(word))
		}
	case messageLoop:
		// The separator stands in name; the list goes in front of the text as a variable.
		p.inner = append([]messagePart{{kind: messageVar, name: word}}, p.inner...)
	case messageText, messageVar:
	}
	return p, nil
}

// Expand puts the values in. What is too long is cut.
func (m *Message) Expand(scope Scope) string {
	var b strings.Builder
	expand(&b, m.parts, []Scope{scope})
	return b.String()
}

// BeginsWithValue says whether the text begins with a value from elsewhere, so that it could be anything.
func (m *Message) BeginsWithValue() bool {
	return len(m.parts) > 0 && m.parts[0].kind != messageText
}

// Constant says whether the text is the same whatever the values.
func (m *Message) Constant() bool {
	return len(m.parts) == 0 || len(m.parts) == 1 && m.parts[0].kind == messageText
}

func lookUp(scopes []Scope, name string) string {
	for i := len(scopes) - 1; i >= 0; i-- {
		if value, ok := scopes[i].Vars[name]; ok {
			return value
		}
	}
	return ""
}

func expand(b *strings.Builder, parts []messagePart, scopes []Scope) {
	for i := range parts {
		if b.Len() > maxExpanded {
			return
		}
		p := &parts[i]
		switch p.kind {
		case messageText:
			b.WriteString(p.name)
		case messageVar:
			b.WriteString(lookUp(scopes, p.name))
		case messageIf:
			value := lookUp(scopes, p.name)
			if (value != "" && value != "0") != p.not {
				expand(b, p.inner, scopes)
			}
		case messageCut:
			var inner strings.Builder
			expand(&inner, p.inner, scopes)
			text := []rune(inner.String())
			b.WriteString(string(text[:min(p.most, len(text))]))
		case messageLoop:
			expandLoop(b, p, scopes)
		}
	}
}

func expandLoop(b *strings.Builder, p *messagePart, scopes []Scope) {
	here := scopes[len(scopes)-1]
	first := true
	for _, name := range strings.Fields(lookUp(scopes, p.inner[0].name)) {
		within, ok := here.Within[name]
		if !ok {
			continue
		}
		if !first {
			b.WriteString(p.name)
		}
		first = false
		expand(b, p.inner[1:], append(scopes[:len(scopes):len(scopes)], within))
	}
}
