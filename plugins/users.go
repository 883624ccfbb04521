package plugins

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"strconv"
	"strings"
)

// Places that know who is logged in: the file of old, and systemd's folder where there is no such file.
const (
	utmpFile    = "run/utmp"
	sessionsDir = "run/systemd/sessions"
)

func needUsers(r *report) error {
	if !r.exists(utmpFile) && !r.exists(sessionsDir) {
		return errors.New("neither /run/utmp nor /run/systemd/sessions is there")
	}
	return nil
}

// users says how many people are logged in, by how.
func users(r *report) error {
	count := make(map[string]uint64, 5)
	if text, err := r.read(utmpFile); err == nil {
		countUtmp(r, bytes.Clone(text), count)
	} else if err := countSessions(r, count); err != nil {
		return err
	}
	r.graph("graph_title Logged in users\ngraph_args --base 1000 -l 0\ngraph_vlabel Users\ngraph_scale no\n" +
		"graph_category system\ngraph_printf %3.0lf")
	r.field("tty", "label tty\ndraw AREASTACK\ncolour 00FF00")
	r.field("pty", "label pty\ndraw AREASTACK\ncolour 0000FF")
	r.field("pts", "label pts\ndraw AREASTACK\ncolour 00FFFF")
	r.field("X", "label X displays\ndraw AREASTACK\ncolour 000000\ninfo On a graphical display.")
	r.field("other", "label Other users\ncolour FF0000\ninfo By any other way.")
	for _, name := range [...]string{"tty", "pty", "pts", "X", "other"} {
		r.levels(name, "", "")
		r.uint(name, count[name])
	}
	return nil
}

// countUtmp counts the sessions in utmp(5), as glibc lays it out on Linux, whose process is still there.
func countUtmp(r *report, text []byte, count map[string]uint64) {
	const recordBytes, userProcess = 384, 7
	for ; len(text) >= recordBytes; text = text[recordBytes:] {
		record := text[:recordBytes]
		if binary.NativeEndian.Uint16(record) != userProcess {
			continue
		}
		pid := binary.NativeEndian.Uint32(record[4:])
		line, _, _ := bytes.Cut(record[8:40], []byte{0})
		if user := record[44]; user == 0 || !r.exists("proc/"+strconv.FormatUint(uint64(pid), 10)) {
			continue
		}
		count[terminalKind(string(line))]++
	}
}

// countSessions counts the sessions of people that systemd knows.
func countSessions(r *report, count map[string]uint64) error {
	entries, err := fs.ReadDir(r.set.root, sessionsDir)
	if err != nil {
		return err
	}
	for i, entry := range entries {
		if i >= maxItems || strings.HasSuffix(entry.Name(), ".ref") {
			continue
		}
		text, err := r.read(sessionsDir + "/" + entry.Name())
		if err != nil {
			continue
		}
		class := assignment(text, "CLASS")
		if class != "user" && class != "user-early" && class != "user-light" {
			continue
		}
		line := assignment(text, "TTY")
		if line == "" {
			line = assignment(text, "DISPLAY")
		}
		count[terminalKind(line)]++
	}
	return nil
}

// assignment is the value in a line NAME=value.
func assignment(text []byte, name string) string {
	for len(text) > 0 {
		var line []byte
		line, text = nextLine(text)
		if value, ok := bytes.CutPrefix(line, []byte(name+"=")); ok {
			return string(bytes.Trim(value, `"`))
		}
	}
	return ""
}

// terminalKind sorts a terminal, such as pts/0, tty1 or :0, into the field that counts it.
func terminalKind(line string) string {
	line, _, _ = strings.Cut(line, "/")
	_, afterColon, colon := strings.Cut(line, ":")
	switch {
	case strings.Contains(line, "tty"):
		return "tty"
	case strings.Contains(line, "pty"):
		return "pty"
	case strings.Contains(line, "pts"):
		return "pts"
	case colon && afterColon != "" && afterColon[0] >= '0' && afterColon[0] <= '9', strings.HasPrefix(line, "X"):
		return "X"
	}
	return "other"
}
