package plugins

import (
	"errors"
	"strings"

	"corbie/munin"
)

// irqstats says how often each single interrupt happens, over all processors.
func irqstats(r *report) error {
	text, err := r.read("proc/interrupts")
	if err != nil {
		return err
	}
	head, rest := nextLine(text)
	processors := 0
	for word, more := nextWord(head); len(word) > 0; word, more = nextWord(more) {
		processors++
	}
	if processors == 0 {
		return errors.New("/proc/interrupts does not begin with a line of processors")
	}
	var list []interrupt
	for len(rest) > 0 && len(list) < maxItems {
		var line []byte
		line, rest = nextLine(rest)
		if i, ok := parseInterrupt(line, processors, r.config); ok {
			list = append(list, i)
		}
	}
	r.graph("graph_title Individual interrupts\ngraph_args --base 1000 --logarithmic\n" +
		"graph_vlabel interrupts / ${graph_period}\ngraph_category system\n" +
		"graph_info Each interrupt by itself. Busy disks and networks make many; many without a cause point to broken hardware.")
	if r.config {
		r.print("graph_order")
		for _, i := range list {
			r.print(" ", i.field)
		}
		r.print("\n")
	}
	said := make(map[string]bool, len(list))
	for _, i := range list {
		if said[i.field] {
			continue
		}
		said[i.field] = true
		r.fieldAttr(i.field, "label", i.label)
		r.fieldAttr(i.field, "info", i.info)
		r.field(i.field, "type DERIVE\nmin 0")
		r.levels(i.field, "", "")
		r.uint(i.field, i.count)
	}
	return nil
}

type interrupt struct {
	field, label, info string
	count              uint64
}

// parseInterrupt reads a line such as
//
//	36:  0  112833  PCI-MSIX-0000:00:02.0  1-edge  virtio1-req.0
//	RES:  26207  22512  Rescheduling interrupts
//
// where the numbers are one for each processor, or fewer.
func parseInterrupt(line []byte, processors int, described bool) (i interrupt, ok bool) {
	word, rest := nextWord(line)
	if len(word) < 2 || len(word) > 20 || word[len(word)-1] != ':' {
		return i, false
	}
	name := string(word[:len(word)-1])
	if munin.SanitisePlugin(name) != name {
		return i, false
	}
	i.field = "i" + name
	for range processors {
		word, more := nextWord(rest)
		n, isNumber := parseUint(word)
		if !isNumber {
			break
		}
		i.count += n
		rest = more
	}
	if described {
		i.describe(name, strings.Fields(string(rest)))
	}
	return i, true
}

// describe makes label and info of what follows the numbers.
func (i *interrupt) describe(name string, words []string) {
	if allDigits(name) {
		// The controller, the number there with its kind, then the devices.
		words = words[min(1, len(words)):]
		for len(words) > 1 && isTrigger(words[0]) {
			words = words[1:]
		}
	}
	text := munin.CleanText(strings.Join(words, " "))
	i.label = text
	if text == "" || len(text) > 47 {
		i.label = name
	}
	if text != "" {
		i.info = "Interrupt " + name + ": " + text + "."
	}
}

// isTrigger says whether a word tells how an interrupt comes in: 5-edge, Level, or a bare number.
func isTrigger(word string) bool {
	number, kind, _ := strings.Cut(strings.ToLower(word), "-")
	if kind == "" && !allDigits(number) {
		kind = number
	} else if !allDigits(number) {
		return false
	}
	return kind == "" || kind == "edge" || kind == "level" || kind == "fasteoi"
}
