package node

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Access decides who may talk to the node, as Munin's does: whoever matches a deny or cidr_deny may not;
// otherwise whoever matches an allow or cidr_allow may. With no rule at all, only this machine may.
type Access struct {
	allow, deny         []*regexp.Regexp
	cidrAllow, cidrDeny []netip.Prefix
}

// Allows says whether a client with the address may talk to the node.
func (a *Access) Allows(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return false
	}
	if len(a.allow)+len(a.deny)+len(a.cidrAllow)+len(a.cidrDeny) == 0 {
		return addr.IsLoopback()
	}
	text := addr.String()
	if matches(a.deny, text) || contains(a.cidrDeny, addr) {
		return false
	}
	return matches(a.allow, text) || contains(a.cidrAllow, addr)
}

func matches(list []*regexp.Regexp, text string) bool {
	for _, re := range list {
		if re.MatchString(text) {
			return true
		}
	}
	return false
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	for _, prefix := range list {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// add takes one of the four keys.
func (a *Access) add(key, value string) error {
	switch key {
	case "allow":
		return addPattern(&a.allow, value)
	case "deny":
		return addPattern(&a.deny, value)
	case "cidr_allow":
		return addPrefixes(&a.cidrAllow, value)
	case "cidr_deny":
		return addPrefixes(&a.cidrDeny, value)
	}
	return errors.New("no such rule")
}

// addPattern takes a regular expression over the whole textual address.
func addPattern(list *[]*regexp.Regexp, value string) error {
	re, err := regexp.Compile("^(?:" + value + ")$")
	if err != nil {
		return fmt.Errorf("%w; the language is RE2's, which has no look-around; cidr_allow and cidr_deny take networks", err)
	}
	*list = append(*list, re)
	return nil
}

func addPrefixes(list *[]netip.Prefix, value string) error {
	for _, text := range strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return fmt.Errorf("%q is not a network: want 192.0.2.0/24 or 2001:db8::/32", clip(text))
			}
			addr = addr.Unmap().WithZone("")
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		*list = append(*list, prefix.Masked())
	}
	return nil
}

// OnlyLoopback says that there is no rule, so that only this machine may talk to the node.
func (a *Access) OnlyLoopback() bool {
	return len(a.allow)+len(a.deny)+len(a.cidrAllow)+len(a.cidrDeny) == 0
}
