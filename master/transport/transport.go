// Package transport connects to nodes: by TCP, by a socket of this machine, or through a program that stands for the
// connection, such as ssh. It is the only part of the master that starts programs.
//
// Addresses are
//
//	host:port                              TCP
//	unix:///run/node.sock                  a socket of this machine
//	ssh://user@host:port/remote/cmd args   ssh, which runs a command there, or what the key on the other side is tied to
//	cmd:///path/to/program args            a program of this machine
//
// The program's input and output are the session. No shell is used: the words are divided at blanks, and nothing that a
// node or a plugin says is ever among them.
package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"corbie/munin"
)

// maxWords is how many words an address may have.
const maxWords = 100

// Address is where a node is reached, taken apart.
type Address struct {
	text    string
	network string   // "tcp" or "unix"; empty: a program
	argv    []string // of the program
}

// String is the address as it is written.
func (a Address) String() string { return a.text }

// Parse reads an address. host:port is taken as it is.
func Parse(text string) (Address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return Address{text: text, network: "tcp"}, nil
	}
	if munin.CleanText(text) != text {
		return Address{}, errors.New("it holds control characters")
	}
	words := strings.Fields(rest)
	if len(words) == 0 || len(words) > maxWords {
		return Address{}, fmt.Errorf("there must be 1 to %d words behind %s://", maxWords, scheme)
	}
	switch scheme {
	case "unix":
		if len(words) > 1 || !filepath.IsAbs(rest) {
			return Address{}, errors.New("want the socket's absolute path: unix:///run/node.sock")
		}
		return Address{text: text, network: "unix"}, nil
	case "cmd":
		if !filepath.IsAbs(words[0]) {
			return Address{}, errors.New("want the program's absolute path: cmd:///usr/local/bin/reach-node host1")
		}
		return Address{text: text, argv: words}, nil
	case "ssh":
		argv, err := sshCommand(words)
		return Address{text: text, argv: argv}, err
	}
	return Address{}, fmt.Errorf("%s:// is not known; a node is reached by host:port, unix://, ssh:// or cmd://", scheme)
}

// sshCommand is how ssh is called. It asks nobody anything, so that a host whose key is not known is refused.
func sshCommand(words []string) ([]string, error) {
	target, remote, _ := strings.Cut(words[0], "/")
	if remote != "" {
		remote = "/" + remote
	}
	argv := []string{"ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"}
	if user, host, ok := strings.Cut(target, "@"); ok {
		if !isName(user, "_") {
			return nil, fmt.Errorf("%q is no name of a user", short(user))
		}
		argv, target = append(argv, "-l", user), host
	}
	host := target
	if h, port, err := net.SplitHostPort(target); err == nil {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("the port %q must be a number from 1 to 65535", short(port))
		}
		argv, host = append(argv, "-p", port), h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if net.ParseIP(host) == nil && !isName(host, "_") {
		return nil, fmt.Errorf("%q is neither a host name nor an IP address", short(host))
	}
	argv = append(argv, "--", host)
	if remote == "" && len(words) > 1 {
		return nil, errors.New("there are arguments, but no command: ssh://host/path/to/command args")
	}
	if remote != "" {
		argv = append(append(argv, remote), words[1:]...)
	}
	return argv, nil
}

// isName says whether a text is a name of letters, digits, dots, dashes and what else is allowed, and no option.
func isName(text, extra string) bool {
	for _, c := range []byte(text) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte(".-"+extra, c) < 0 {
			return false
		}
	}
	return text != "" && len(text) <= 253 && text[0] != '-' && text[0] != '.'
}

func short(text string) string {
	const most = 80
	if len(text) > most {
		text = text[:most]
	}
	return munin.CleanText(text)
}

// Dial connects to a node; it is a poll.Dialer. A program is started at once, and whether it reaches the node shows when
// its greeting does not come. Closing the connection ends the program and what it started.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	a, err := Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	var d net.Dialer
	switch a.network {
	case "tcp":
		return d.DialContext(ctx, "tcp", address)
	case "unix":
		return d.DialContext(ctx, "unix", strings.TrimPrefix(address, "unix://"))
	}
	return start(a.argv)
}
