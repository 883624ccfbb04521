package wire

import (
	"strconv"
	"strings"
)

// Verb is what a client asks of a node.
type Verb int

// The commands of the protocol. A blank line is unknown too.
const (
	VerbUnknown Verb = iota
	VerbCap
	VerbList
	VerbNodes
	VerbConfig
	VerbFetch
	VerbVersion
	VerbStartTLS
	VerbSpoolFetch
	VerbStatus
	VerbQuit
)

// Command is one line from a client, taken apart.
type Command struct {
	Verb Verb
	// Arg is the node of list and spoolfetch, lower-cased, or the plugin of config and fetch, as said; it may be
	// empty.
	Arg string
	// Since is the time of a spoolfetch, in seconds since 1970.
	Since int64
	// Caps is what the client of a cap command can do.
	Caps Caps
}

// Caps is what a client said it can do.
type Caps struct {
	Multigraph  bool // several graphs from one plugin
	DirtyConfig bool // values in the answer to config
	Spool       bool // it names the node that it wants a spoolfetch of, where there are several
}

// ParseCommand takes a command line apart, with or without its line end. Commands are words in any case; what
// stands after the first argument is ignored, except for cap.
func ParseCommand(line string) Command {
	words := strings.Fields(line)
	if len(words) == 0 {
		return Command{}
	}
	arg := ""
	if len(words) > 1 {
		arg = words[1]
	}
	switch strings.ToLower(words[0]) {
	case "cap":
		return Command{Verb: VerbCap, Caps: parseCaps(words[1:])}
	case "list":
		return Command{Verb: VerbList, Arg: strings.ToLower(arg)}
	case "nodes":
		return Command{Verb: VerbNodes}
	case "config":
		return Command{Verb: VerbConfig, Arg: arg}
	case "fetch":
		return Command{Verb: VerbFetch, Arg: arg}
	case "version":
		return Command{Verb: VerbVersion}
	case "starttls":
		if len(words) == 1 {
			return Command{Verb: VerbStartTLS}
		}
	case "spoolfetch":
		return parseSpoolFetch(words[1:])
	case "status":
		return Command{Verb: VerbStatus}
	case "quit", ".":
		return Command{Verb: VerbQuit}
	}
	return Command{}
}

// parseSpoolFetch reads a time, and a node after it if there is one.
func parseSpoolFetch(words []string) Command {
	if len(words) == 0 {
		return Command{}
	}
	since, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil || since < 0 {
		return Command{}
	}
	command := Command{Verb: VerbSpoolFetch, Since: since}
	if len(words) > 1 {
		command.Arg = strings.ToLower(words[1])
	}
	return command
}

func parseCaps(words []string) Caps {
	var caps Caps
	for _, word := range words {
		switch strings.ToLower(word) {
		case "multigraph":
			caps.Multigraph = true
		case "dirtyconfig":
			caps.DirtyConfig = true
		case "spool":
			caps.Spool = true
		}
	}
	return caps
}

// AppendBody appends a plugin's output to an answer in the form in which it may go over the wire: lines that
// end with a line feed, without blank ones and without those that would be taken for something else: a lone
// dot ends an answer, and a line longer than MaxLineBytes ends the session. The second result counts the lines
// that were left out for being one of the latter two. The final dot is not part of it.
func AppendBody(b, output []byte) (body []byte, dropped int) {
	for len(output) > 0 {
		end := 0
		for end < len(output) && output[end] != '\n' && output[end] != '\r' {
			end++
		}
		line := output[:end]
		output = output[min(end+1, len(output)):]
		switch {
		case len(line) == 0:
		case len(line) == 1 && line[0] == '.', len(line) >= MaxLineBytes:
			dropped++
		default:
			b = append(b, line...)
			b = append(b, '\n')
		}
	}
	return b, dropped
}
