# Removes variables with which the host's environment would change the tools of a step. A user's command still gets the
# original environment.

unset TAR_OPTIONS GZIP POSIXLY_CORRECT GREP_OPTIONS ENV BASH_ENV TMPDIR QUOTING_STYLE TIME_STYLE BLOCK_SIZE DF_BLOCK_SIZE DU_BLOCK_SIZE
