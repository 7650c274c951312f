/* files.h - manifests from files, folders and stdin. */
#pragma once

#include "lib/str.h"
#include "model/object.h"

struct manifests {
	VEC(char *) name;	  /* owned: objects borrow them */
	struct object_vec object; /* in the order of files and documents */
	size_t n_bad;		  /* documents that were refused; each was told on stderr */
};

/* Read path ("-": stdin; a folder: its *.yaml, *.yml and *.json, in the order of their names; with
 * recursive those of its folders, too). All mistakes of all documents are told on stderr, not only
 * the first. Negative errno when a file cannot be read at all. *out must be zero before. */
int manifests_read(const char *path, bool recursive, struct manifests *out, struct err *e);
void manifests_done(struct manifests *m);

/* A whole file, at most YML_SIZE_MAX bytes. */
int file_read(const char *path, struct str *out, struct err *e);
