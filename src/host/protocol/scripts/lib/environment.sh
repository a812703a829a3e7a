# The host's environment must not change the tools' behavior in a step. A user's command gets it as it is.

unset TAR_OPTIONS GZIP POSIXLY_CORRECT GREP_OPTIONS ENV BASH_ENV TMPDIR QUOTING_STYLE TIME_STYLE BLOCK_SIZE DF_BLOCK_SIZE DU_BLOCK_SIZE
