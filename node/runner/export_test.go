package runner

// OpenGroupsIn is OpenGroups for a program that is in a control group of that folder.
func OpenGroupsIn(own string) (*Groups, error) { return openGroups(own) }
