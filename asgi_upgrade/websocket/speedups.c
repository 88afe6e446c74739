/* What is done with each frame, as machine code. `frames.py` has the same in Python, for where this is not built, and says
   what it does.

   Most messages are so short that to call a function with keywords, or to cut out a mask, would take longer than the
   work. So arguments are taken as they come, and bytes without the buffer protocol. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* RFC 6455 section 5.3 */
static void
mask_bytes(char *restrict masked, const char *restrict data, Py_ssize_t size, const char *mask)
{
    uint64_t twice;
    Py_ssize_t done = 0;

    memcpy(&twice, mask, 4);
    memcpy((char *)&twice + 4, mask, 4);
    /* Written out like this, compilers make vectors of it. */
    for (; done + 32 <= size; done += 32) {
        uint64_t first, second, third, fourth;
        memcpy(&first, data + done, 8);
        memcpy(&second, data + done + 8, 8);
        memcpy(&third, data + done + 16, 8);
        memcpy(&fourth, data + done + 24, 8);
        first ^= twice;
        second ^= twice;
        third ^= twice;
        fourth ^= twice;
        memcpy(masked + done, &first, 8);
        memcpy(masked + done + 8, &second, 8);
        memcpy(masked + done + 16, &third, 8);
        memcpy(masked + done + 24, &fourth, 8);
    }
    for (; done + 8 <= size; done += 8) {
        uint64_t word;
        memcpy(&word, data + done, 8);
        word ^= twice;
        memcpy(masked + done, &word, 8);
    }
    for (; done < size; done++) {
        masked[done] = data[done] ^ mask[done & 3];
    }
}

/* Point at the bytes of `object`; NULL with an exception if it has none. `view` is to be released in any case. */
static const char *
look_at(PyObject *object, Py_buffer *view, Py_ssize_t *size)
{
    view->obj = NULL;
    if (PyBytes_CheckExact(object)) {
        *size = PyBytes_GET_SIZE(object);
        return PyBytes_AS_STRING(object);
    }
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    *size = view->len;
    return view->buf;
}

static PyObject *
unmask(const char *data, Py_ssize_t size, const char *mask)
{
    PyObject *payload = PyBytes_FromStringAndSize(NULL, size);
    if (payload != NULL) {
        mask_bytes(PyBytes_AS_STRING(payload), data, size, mask);
    }
    return payload;
}

static PyObject *
unmask_text(const char *data, Py_ssize_t size, const char *mask)
{
    char payload[1024];
    if (size <= (Py_ssize_t)sizeof(payload)) {
        mask_bytes(payload, data, size, mask);
        return PyUnicode_DecodeUTF8(payload, size, NULL);
    }
    PyObject *bytes = unmask(data, size, mask);
    if (bytes == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(bytes), size, NULL);
    Py_DECREF(bytes);
    return text;
}

static PyObject *
apply_mask(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Py_buffer data_view, mask_view;
    Py_ssize_t size, mask_size;
    PyObject *masked = NULL;

    if (count != 2) {
        return PyErr_Format(PyExc_TypeError, "apply_mask() takes 2 arguments, not %zd", count);
    }
    const char *data = look_at(arguments[0], &data_view, &size);
    if (data == NULL) {
        return NULL;
    }
    const char *mask = look_at(arguments[1], &mask_view, &mask_size);
    if (mask != NULL && mask_size != 4) {
        PyErr_Format(PyExc_ValueError, "a mask has 4 bytes, not %zd", mask_size);
    }
    else if (mask != NULL) {
        masked = unmask(data, size, mask);
    }
    PyBuffer_Release(&mask_view);
    PyBuffer_Release(&data_view);
    return masked;
}

static PyObject *
read_messages(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 4) {
        return PyErr_Format(PyExc_TypeError, "read_messages() takes 4 arguments, not %zd", count);
    }
    PyObject *messages = arguments[3];
    if (!PyBytes_Check(arguments[0]) || !PyList_Check(messages)) {
        PyErr_SetString(PyExc_TypeError, "read_messages() takes bytes, two numbers and a list");
        return NULL;
    }
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(arguments[0]);
    Py_ssize_t end = PyBytes_GET_SIZE(arguments[0]);
    Py_ssize_t position = PyLong_AsSsize_t(arguments[1]);
    if (position < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "position is less than 0");
        }
        return NULL;
    }
    int too_large; /* -1, 0 or 1 */
    long long max_size = PyLong_AsLongLongAndOverflow(arguments[2], &too_large);
    if (PyErr_Occurred()) {
        return NULL;
    }
    while (end - position >= 6) {
        unsigned char first = data[position];
        Py_ssize_t size = data[position + 1] - 0x80;
        Py_ssize_t start = position + 6;
        if (first != 0x81 && first != 0x82) {
            break;
        }
        if (size == 126) {
            size = data[position + 2] << 8 | data[position + 3];
            start = position + 8;
            if (size < 126) {
                break;
            }
        }
        else if (size > 125) {
            break;
        }
        if (size < 0 || (size > max_size && too_large <= 0) || size > end - start) {
            break;
        }
        const char *payload = (const char *)data + start;
        PyObject *message = (first == 0x82 ? unmask : unmask_text)(payload, size, payload - 4);
        if (message == NULL) {
            return NULL;
        }
        int failed = PyList_Append(messages, message);
        Py_DECREF(message);
        if (failed) {
            return NULL;
        }
        position = start + size;
    }
    return PyLong_FromSsize_t(position);
}

static PyMethodDef functions[] = {
    {"apply_mask", (PyCFunction)(void (*)(void))apply_mask, METH_FASTCALL,
     PyDoc_STR("apply_mask($module, data, mask, /)\n--\n\nSee asgi_upgrade.websocket.frames.")},
    {"read_messages", (PyCFunction)(void (*)(void))read_messages, METH_FASTCALL,
     PyDoc_STR("read_messages($module, data, position, max_size, messages, /)\n--\n\n"
               "See asgi_upgrade.websocket.frames.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "asgi_upgrade.websocket.speedups",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_speedups(void)
{
    return PyModuleDef_Init(&definition);
}
