# Functions for plugins written in shell. A plugin reads them with
#
#     . "$MUNIN_LIBDIR/plugins/plugin.sh"
#
# They are called as those of Munin's plugin.sh are, so that a plugin works with either.

# clean_fieldname NAME prints NAME as a field may be called: letters, digits and underscores.
clean_fieldname() {
    printf '%s\n' "$*" | sed -e 's/^[^A-Za-z_]/_/' -e 's/[^A-Za-z0-9_]/_/g' -e 's/^root$/__root/'
}

# corbie_level KIND FIELD [VARIABLE] prints the level of a field from the environment: that of the named
# variable, else FIELD_KIND, else KIND; nothing where none is set.
corbie_level() {
    corbie_found=
    for corbie_name in "${3:-}" "${2}_${1}" "$1"; do
        case $corbie_name in
        '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;;
        esac
        eval "corbie_found=\${$corbie_name:-}"
        [ -z "$corbie_found" ] || break
    done
    [ -z "$corbie_found" ] || printf '%s\n' "$corbie_found"
}

get_warning() { corbie_level warning "$@"; }
get_critical() { corbie_level critical "$@"; }

# corbie_print_level KIND FIELD [VARIABLE] prints the line of config that sets the level, if there is one.
corbie_print_level() {
    corbie_value=$(corbie_level "$@")
    [ -z "$corbie_value" ] || printf '%s.%s %s\n' "$2" "$1" "$corbie_value"
}

# print_warning FIELD [VARIABLE] and print_critical FIELD [VARIABLE] print a level. A plugin sets a default with
#
#     warning=${warning:-92}
print_warning() { corbie_print_level warning "$@"; }
print_critical() { corbie_print_level critical "$@"; }

# print_thresholds FIELD [WARNING_VARIABLE [CRITICAL_VARIABLE]] prints both levels.
print_thresholds() {
    print_warning "$1" "${2:-}"
    print_critical "$1" "${3:-}"
}

# adjust_threshold LEVEL BASE prints LEVEL with percentages replaced by that share of BASE: "50%:90%" of 200 is
# 100:180.
adjust_threshold() {
    [ -n "${1:-}" ] && [ -n "${2:-}" ] || return 0
    printf '%s\n' "$1" | awk -v base="$2" '
        BEGIN { FS = OFS = ":" }
        {
            for (i = 1; i <= NF; i++)
                if ($i ~ /%$/) { sub(/%$/, "", $i); $i = $i * base / 100 }
            print
        }'
}

# print_adjusted_thresholds FIELD BASE [WARNING_VARIABLE [CRITICAL_VARIABLE]] prints both levels, adjusted.
print_adjusted_thresholds() {
    corbie_value=$(adjust_threshold "$(get_warning "$1" "${3:-}")" "$2")
    [ -z "$corbie_value" ] || printf '%s.warning %s\n' "$1" "$corbie_value"
    corbie_value=$(adjust_threshold "$(get_critical "$1" "${4:-}")" "$2")
    [ -z "$corbie_value" ] || printf '%s.critical %s\n' "$1" "$corbie_value"
}

# is_multigraph "$1" ends the plugin with a word of explanation where master or node know no multigraphs.
is_multigraph() {
    [ "${MUNIN_CAP_MULTIGRAPH:-0}" != 1 ] || return 0
    case ${1:-} in
    autoconf) echo 'no (this plugin needs multigraph)' ;;
    config)
        echo 'graph_title This plugin needs multigraph'
        echo 'multigraph.label no multigraph'
        ;;
    *) echo 'multigraph.value 0' ;;
    esac
    exit 0
}

# is_dirtyconfig succeeds where the master takes values with the config.
is_dirtyconfig() { [ "${MUNIN_CAP_DIRTYCONFIG:-0}" = 1 ]; }
