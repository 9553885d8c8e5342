/* What two parsers make of a document, each in its own words: expat and libxml2, which between them
 * read for most XMPP clients.
 *
 * judge_expat and judge_libxml2 write a canonical form of the document, or why they refuse it. As a
 * program (judges.rs runs it) it reads documents, each after its length (4 bytes, little endian), from
 * standard input, and answers each with what both write, each after its length. In the fuzz targets
 * (with -DLINKED) it is called.
 *
 * The canonical form is a line for each part, in order: `(` namespace TAB name, `=` namespace TAB name
 * TAB value for each attribute (sorted), `"` text, `)`. Lines' ends, tabs and backslashes in them are
 * escaped. A refusal is one line that begins with `!`.
 */
#include <expat.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Separates namespace and name for expat, as Python's parsers have it. */
#define SEPARATOR '}'

struct out {
    char *data;
    size_t len, cap;
    int text;            /* the last line is text and may go on */
    char refused[200];   /* empty: not refused */
};

static void put(struct out *o, const char *s, size_t n)
{
    if (o->len + n > o->cap) {
        o->cap = (o->len + n) * 2 + 256;
        o->data = realloc(o->data, o->cap);
        if (o->data == NULL)
            abort();
    }
    memcpy(o->data + o->len, s, n);
    o->len += n;
}

static void put_escaped(struct out *o, const char *s, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        switch (s[i]) {
        case '\n': put(o, "\\n", 2); break;
        case '\r': put(o, "\\r", 2); break;
        case '\t': put(o, "\\t", 2); break;
        case '\\': put(o, "\\\\", 2); break;
        default: put(o, s + i, 1);
        }
    }
}

static void begin(struct out *o)
{
    if (o->text)
        put(o, "\n", 1);
    o->text = 0;
}

static void text(struct out *o, const char *s, size_t n)
{
    if (n == 0)
        return;
    if (!o->text)
        put(o, "\"", 1);
    o->text = 1;
    put_escaped(o, s, n);
}

static void end(struct out *o)
{
    begin(o);
    put(o, ")\n", 2);
}

/* An element's or attribute's line without its end. */
static void name(struct out *o, char kind, const char *ns, size_t ns_len, const char *local, size_t local_len)
{
    put(o, &kind, 1);
    put_escaped(o, ns, ns_len);
    put(o, "\t", 1);
    put_escaped(o, local, local_len);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Writes lines, sorted, and frees them. */
static void sorted(struct out *o, char **lines, size_t n)
{
    size_t i;
    if (n > 1)
        qsort(lines, n, sizeof *lines, compare);
    for (i = 0; i < n; i++) {
        put(o, lines[i], strlen(lines[i]));
        put(o, "\n", 1);
        free(lines[i]);
    }
    free(lines);
}

static char *line(const char *ns, size_t ns_len, const char *local, size_t local_len, const char *value, size_t value_len)
{
    struct out o = {0};
    name(&o, '=', ns, ns_len, local, local_len);
    put(&o, "\t", 1);
    put_escaped(&o, value, value_len);
    put(&o, "", 1);
    return o.data;
}

static void refuse(struct out *o, const char *why)
{
    if (o->refused[0] == 0)
        snprintf(o->refused, sizeof o->refused, "!%s", why && why[0] ? why : "?");
}

static char *finish(struct out *o, size_t *len)
{
    if (o->refused[0] != 0) {
        o->len = 0;
        put(o, o->refused, strlen(o->refused));
    }
    *len = o->len;
    return o->data;
}

/* expat */

static const char *split(const char *joined, size_t *ns_len)
{
    const char *at = strrchr(joined, SEPARATOR);
    *ns_len = at ? (size_t)(at - joined) : 0;
    return at ? at + 1 : joined;
}

static void XMLCALL expat_start(void *user, const XML_Char *joined, const XML_Char **attrs)
{
    struct out *o = user;
    size_t ns_len, n = 0;
    char **lines;
    const char *local = split(joined, &ns_len);
    begin(o);
    name(o, '(', joined, ns_len, local, strlen(local));
    put(o, "\n", 1);
    while (attrs[2 * n])
        n++;
    lines = calloc(n + 1, sizeof *lines);
    for (n = 0; attrs[2 * n]; n++) {
        const char *value = attrs[2 * n + 1];
        local = split(attrs[2 * n], &ns_len);
        lines[n] = line(attrs[2 * n], ns_len, local, strlen(local), value, strlen(value));
    }
    sorted(o, lines, n);
}

static void XMLCALL expat_end(void *user, const XML_Char *joined)
{
    (void)joined;
    end(user);
}

static void XMLCALL expat_text(void *user, const XML_Char *s, int n)
{
    text(user, s, (size_t)n);
}

char *judge_expat(const char *xml, size_t xml_len, size_t *len)
{
    struct out o = {0};
    XML_Parser parser = XML_ParserCreateNS("UTF-8", SEPARATOR);
    if (parser == NULL)
        abort();
    XML_SetUserData(parser, &o);
    XML_SetElementHandler(parser, expat_start, expat_end);
    XML_SetCharacterDataHandler(parser, expat_text);
    if (XML_Parse(parser, xml, (int)xml_len, 1) != XML_STATUS_OK)
        refuse(&o, XML_ErrorString(XML_GetErrorCode(parser)));
    XML_ParserFree(parser);
    return finish(&o, len);
}

/* libxml2 */

static struct out *libxml2_out;

static size_t length(const xmlChar *s)
{
    return s ? strlen((const char *)s) : 0;
}

static void libxml2_start(void *ctx, const xmlChar *local, const xmlChar *prefix, const xmlChar *ns, int nb_namespaces,
                          const xmlChar **namespaces, int nb_attributes, int nb_defaulted, const xmlChar **attributes)
{
    struct out *o = libxml2_out;
    char **lines = calloc((size_t)nb_attributes + 1, sizeof *lines);
    int i;
    (void)ctx, (void)prefix, (void)nb_namespaces, (void)namespaces, (void)nb_defaulted;
    begin(o);
    name(o, '(', (const char *)ns, length(ns), (const char *)local, length(local));
    put(o, "\n", 1);
    for (i = 0; i < nb_attributes; i++) {
        const xmlChar **a = attributes + 5 * i;
        lines[i] = line((const char *)a[2], length(a[2]), (const char *)a[0], length(a[0]), (const char *)a[3],
                        (size_t)(a[4] - a[3]));
    }
    sorted(o, lines, (size_t)nb_attributes);
}

static void libxml2_end(void *ctx, const xmlChar *local, const xmlChar *prefix, const xmlChar *ns)
{
    (void)ctx, (void)local, (void)prefix, (void)ns;
    end(libxml2_out);
}

static void libxml2_text(void *ctx, const xmlChar *s, int n)
{
    (void)ctx;
    text(libxml2_out, (const char *)s, (size_t)n);
}

/* Errors refuse, with those of namespaces, which do not stop it; warnings and what a DTD would say do not. */
static void libxml2_error(void *user, xmlErrorPtr error)
{
    (void)user;
    if (error->level >= XML_ERR_ERROR && error->domain != XML_FROM_VALID)
        refuse(libxml2_out, error->message);
}

/* A parser whose words go to the output, or that is only to refuse. */
static void libxml2_sax(xmlSAXHandler *sax, int speaks)
{
    memset(sax, 0, sizeof *sax);
    sax->initialized = XML_SAX2_MAGIC;
    sax->serror = (xmlStructuredErrorFunc)libxml2_error;
    if (speaks) {
        sax->startElementNs = libxml2_start;
        sax->endElementNs = libxml2_end;
        sax->characters = libxml2_text;
        sax->cdataBlock = libxml2_text;
        sax->ignorableWhitespace = libxml2_text;
    }
}

static void libxml2_done(struct out *o, xmlParserCtxtPtr ctxt)
{
    if (!ctxt->wellFormed || !ctxt->nsWellFormed)
        refuse(o, "not well-formed");
    xmlFreeParserCtxt(ctxt);
}

/* Clients push what they receive, but in that mode 2.9 leaves carriage returns in CDATA sections: it may
 * refuse, and what it finds is asked of it in the other mode. */
char *judge_libxml2(const char *xml, size_t xml_len, size_t *len)
{
    struct out o = {0};
    xmlSAXHandler sax;
    xmlParserCtxtPtr ctxt;
    libxml2_out = &o;
    libxml2_sax(&sax, 0);
    ctxt = xmlCreatePushParserCtxt(&sax, NULL, NULL, 0, NULL);
    if (ctxt == NULL)
        abort();
    xmlSwitchEncoding(ctxt, XML_CHAR_ENCODING_UTF8);
    if (xml_len > 0)
        xmlParseChunk(ctxt, xml, (int)xml_len, 0);
    xmlParseChunk(ctxt, xml, 0, 1);
    libxml2_done(&o, ctxt);
    ctxt = xml_len > 0 ? xmlCreateMemoryParserCtxt(xml, (int)xml_len) : NULL;
    if (ctxt == NULL)
        return finish(&o, len);
    libxml2_sax(ctxt->sax, 1);
    xmlCtxtUseOptions(ctxt, XML_PARSE_NOENT);
    xmlSwitchEncoding(ctxt, XML_CHAR_ENCODING_UTF8);
    xmlParseDocument(ctxt);
    libxml2_done(&o, ctxt);
    return finish(&o, len);
}

#ifndef LINKED

static int read_all(char *data, size_t n)
{
    return fread(data, 1, n, stdin) == n;
}

static void answer(char *data, size_t n)
{
    uint8_t head[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
    fwrite(head, 1, 4, stdout);
    fwrite(data, 1, n, stdout);
    free(data);
}

int main(void)
{
    uint8_t head[4];
    while (read_all((char *)head, 4)) {
        size_t n = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24, len;
        char *xml = malloc(n + 1), *said;
        if (xml == NULL || !read_all(xml, n))
            return 1;
        said = judge_expat(xml, n, &len);
        answer(said, len);
        said = judge_libxml2(xml, n, &len);
        answer(said, len);
        free(xml);
        if (fflush(stdout) != 0)
            return 1;
    }
    return 0;
}

#endif
